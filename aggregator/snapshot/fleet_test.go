package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

const resolution = 15 * time.Second

var errDown = errors.New("down")

// A fleet stands in for agents, the fan-out and who is expected.
type fleet struct {
	mu        sync.Mutex
	expected  []string
	pods      map[string][]string // by node, "namespace/pod", those that run
	past      map[string][]string // by node, those that ran
	late      map[string]int      // by node: how many slots its newest scrape is behind
	takesLate map[string][]bool   // by node: of each question
	fault     map[string]error    // by node
	part      map[string]bool     // by node: the error comes with what there is
	slow      map[string]time.Duration
	forged    map[string]func(slot int64) []byte // by node: one more chunk
	unlisted  map[string]string                  // by node: why not all pods are named
	asked     []string                           // "node since", since 0 or the last slot
	rounds    int
}

func newFleet(nodes ...string) *fleet {
	f := &fleet{
		expected: nodes, pods: map[string][]string{}, past: map[string][]string{}, late: map[string]int{}, takesLate: map[string][]bool{}, fault: map[string]error{},
		part: map[string]bool{}, slow: map[string]time.Duration{}, forged: map[string]func(int64) []byte{}, unlisted: map[string]string{},
	}
	for _, n := range nodes {
		f.pods[n] = []string{"shop/cart-" + n}
	}
	return f
}

func (f *fleet) Nodes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.expected)
}

// change does something to the fleet.
func (f *fleet) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fleet) Do(ctx context.Context, nodes []string, _ time.Duration, ask fanout.Ask) []fanout.Result {
	f.change(func() { f.rounds++ })
	results := make([]fanout.Result, len(nodes))
	var all sync.WaitGroup
	for i := range nodes {
		all.Go(func() {
			err := ask(ctx, i, func(int) bool { return true })
			results[i] = fanout.Result{Outcome: agents.Outcome(err), Err: err, Asked: true}
		})
	}
	all.Wait()
	return results
}

func (f *fleet) Latest(ctx context.Context, node string, q wire.Latest, _ func(int) bool) (agents.Latest, error) {
	f.mu.Lock()
	wait := f.slow[node]
	f.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return agents.Latest{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprint(node, " ", q.Since))
	if err := f.fault[node]; err != nil && !f.part[node] {
		return agents.Latest{}, &agents.Error{Node: node, Outcome: coverage.Refused, Err: err}
	}
	f.takesLate[node] = append(f.takesLate[node], q.Late)
	slot := q.To - int64(f.late[node])*15
	latest := agents.Latest{Resolution: resolution, Retention: time.Hour, Unlisted: f.unlisted[node]}
	for _, pod := range append([]string{"/"}, f.pods[node]...) {
		latest.Chunks = append(latest.Chunks, rowOf(pod, slot))
	}
	if forge, ok := f.forged[node]; ok {
		latest.Chunks = append(latest.Chunks, forge(slot))
	}
	for _, pod := range f.past[node] {
		ns, name, _ := strings.Cut(pod, "/")
		latest.Pods = append(latest.Pods, agents.PodName{Namespace: ns, Name: name})
	}
	if f.part[node] {
		return latest, &agents.Error{Node: node, Outcome: coverage.Truncated, Err: errDown}
	}
	return latest, nil
}

// rowOf is a chunk with one row of "namespace/pod" or "namespace/pod/UID", whose
// cpu is its slot; "/" is the node's.
func rowOf(pod string, slot int64) []byte {
	parts := append(strings.Split(pod, "/"), "")
	b := chunk.NewBuilder(chunk.Header{
		Pod: model.PodRef{Namespace: parts[0], Name: parts[1], UID: parts[2]}, Block: model.BlockOf(slot), Resolution: resolution,
	})
	s := model.Sample{Start: 1}
	s.Set(model.CPU, uint64(slot))
	if err := b.Append(slot, []model.Sample{s}); err != nil {
		panic(err)
	}
	return b.AppendChunk(nil)
}

// open makes a snapshot of the fleet, which asks when somebody wants to know.
func (f *fleet) open(t *testing.T) *Snapshot {
	s := f.eager(t)
	s.ahead.never = true
	return s
}

// eager makes a snapshot of the fleet, which asks ahead.
func (f *fleet) eager(t *testing.T) *Snapshot {
	s := New(resolution, f, f, f, prometheus.NewRegistry())
	t.Cleanup(s.Close)
	return s
}

// count takes what was asked since the last time.
func (f *fleet) count() (rounds int, asked []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rounds, asked = f.rounds, f.asked
	f.rounds, f.asked = 0, nil
	slices.Sort(asked)
	return rounds, asked
}

// nextSlot sleeps until the next slot is shown, and some seconds more.
func nextSlot() {
	slot := model.Shown(time.Now(), resolution)
	for model.Shown(time.Now(), resolution) == slot {
		time.Sleep(time.Second)
	}
	time.Sleep(resolution / 2)
}

// pods are the pods of a view: "namespace/pod@node".
func pods(v *View, namespace, pod, node string) string {
	var all []string
	for p := range v.Parts(namespace, pod, node) {
		all = append(all, p.Chunk.Pod.Namespace+"/"+p.Chunk.Pod.Name+"@"+p.Node)
	}
	return strings.Join(all, " ")
}

// missing are the missing nodes of a view: "node outcome age".
func missing(v *View) string {
	c := v.Coverage(nil)
	c.AppendJSON(nil) // sorts
	var all []string
	for _, m := range c.Missing {
		all = append(all, fmt.Sprintf("%s %s %d", m.Node, m.Outcome, int(m.Age.Seconds())))
	}
	if c.Expected-c.Answered != len(c.Missing) {
		all = append(all, fmt.Sprintf("%d of %d answered", c.Answered, c.Expected))
	}
	return strings.Join(all, ", ")
}

func candidates(v *View, namespace, pod string) string {
	nodes := v.Candidates(namespace, pod)
	slices.Sort(nodes)
	return strings.Join(nodes, " ")
}

// expect compares strings.
func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// inBubble runs a test with a clock of its own that begins within a slot.
func inBubble(t *testing.T, test func(*testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		nextSlot()
		test(t)
	})
}
