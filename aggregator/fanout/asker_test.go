package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

type answer = apiv1.NodeAnswer

// A way is how a node answers.
type way func(ctx context.Context, node string) (apiv1.NodeAnswer, error)

// after answers with n bytes when d has passed. (Nothing selects on a timer
// that is already due: under synctest and -race that crashes Go 1.26.)
func after(d time.Duration, n int) way {
	return func(ctx context.Context, node string) (apiv1.NodeAnswer, error) {
		if d <= 0 {
			return apiv1.NodeAnswer{Node: node, Chunks: [][]byte{make([]byte, n)}}, ctx.Err()
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return apiv1.NodeAnswer{Node: node, Chunks: [][]byte{make([]byte, n)}}, nil
		case <-ctx.Done():
			return apiv1.NodeAnswer{}, fmt.Errorf("%s: wait for the answer: %w", node, ctx.Err())
		}
	}
}

// hang never answers.
func hang() way { return after(24*time.Hour, 0) }

// fail fails at once.
func fail(o coverage.Outcome) way {
	return func(_ context.Context, node string) (apiv1.NodeAnswer, error) {
		return apiv1.NodeAnswer{}, &agents.Error{Node: node, Outcome: o, Err: io.EOF}
	}
}

// nodes are Agents: nodes that answer in their ways, at once if they have none.
type nodes struct {
	mu      sync.Mutex
	ways    map[string]way
	asked   []string // in that order
	probed  []string
	now     int
	highest int // of now
	// who are the incarnations of nodes; the others have one that never changes.
	who map[string]agents.Incarnation
}

func (n *nodes) set(node string, w way) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ways == nil {
		n.ways = map[string]way{}
	}
	n.ways[node] = w
}

func (n *nodes) Ask(ctx context.Context, node string, take func(int) bool) (apiv1.NodeAnswer, error) {
	n.mu.Lock()
	n.asked = append(n.asked, node)
	n.now++
	n.highest = max(n.highest, n.now)
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.now--
		n.mu.Unlock()
	}()
	return n.answer(ctx, node, take)
}

func (n *nodes) answer(ctx context.Context, node string, take func(int) bool) (apiv1.NodeAnswer, error) {
	n.mu.Lock()
	w := n.ways[node]
	n.mu.Unlock()
	if w == nil {
		w = after(0, 100)
	}
	answer, err := w(ctx, node)
	for _, c := range answer.Chunks {
		if !take(len(c)) {
			return apiv1.NodeAnswer{}, &agents.Error{Node: node, Outcome: coverage.OverBudget, Err: errors.New("no more")}
		}
	}
	return answer, err
}

// Probe answers in the same way.
func (n *nodes) Probe(ctx context.Context, node string) error {
	n.mu.Lock()
	n.probed = append(n.probed, node)
	n.mu.Unlock()
	_, err := n.answer(ctx, node, func(int) bool { return true })
	return err
}

func (n *nodes) Incarnation(node string) agents.Incarnation {
	n.mu.Lock()
	defer n.mu.Unlock()
	if who, ok := n.who[node]; ok {
		return who
	}
	return agents.Incarnation{Start: 1}
}

// is makes the node's agent another incarnation, or none.
func (n *nodes) is(node string, who agents.Incarnation) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.who == nil {
		n.who = map[string]agents.Incarnation{}
	}
	n.who[node] = who
}

// forget begins anew to note who is asked and probed.
func (n *nodes) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked, n.probed = nil, nil
}

// names are node-0000 and so on.
func names(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("node-%04d", i)
	}
	return names
}

// ask asks the nodes as the API does.
func ask(ctx context.Context, f *Fanout, a *nodes, all []string, timeout time.Duration) ([]apiv1.NodeAnswer, coverage.Coverage) {
	answers := make([]apiv1.NodeAnswer, len(all))
	results := f.Do(ctx, all, timeout, func(ctx context.Context, i int, take func(int) bool) (err error) {
		answers[i], err = a.Ask(ctx, all[i], take)
		return err
	})
	return slices.DeleteFunc(answers, func(a apiv1.NodeAnswer) bool { return a.Chunks == nil }), Coverage(all, results)
}

// newFanout is one that is closed when the test ends.
func newFanout(t testing.TB, cfg Config, a Agents) (*Fanout, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	f := New(cfg, a, reg)
	t.Cleanup(f.Close)
	return f, reg
}

// check looks at what always holds: every node is either answered or missing.
func check(t *testing.T, nodes []string, answers []apiv1.NodeAnswer, c coverage.Coverage) map[string]coverage.Missing {
	t.Helper()
	if c.Expected != len(nodes) || c.Answered != len(answers) || c.Answered+len(c.Missing) != c.Expected || c.Asked > c.Expected || c.Asked < c.Answered {
		t.Errorf("%d nodes, %d answers, coverage: expected %d, asked %d, answered %d, missing %d",
			len(nodes), len(answers), c.Expected, c.Asked, c.Answered, len(c.Missing))
	}
	seen := map[string]bool{}
	for i, a := range answers {
		if seen[a.Node] = true; i > 0 && answers[i-1].Node >= a.Node {
			t.Errorf("%s comes after %s", a.Node, answers[i-1].Node)
		}
	}
	missing := map[string]coverage.Missing{}
	for _, m := range c.Missing {
		if seen[m.Node] || m.Outcome == coverage.OK || m.Err == "" || len(m.Err) > maxErr {
			t.Errorf("missing %+v", m)
		}
		seen[m.Node] = true
		missing[m.Node] = m
	}
	for _, n := range nodes {
		if !seen[n] {
			t.Errorf("%s is neither answered nor missing", n)
		}
	}
	return missing
}
