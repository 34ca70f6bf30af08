// Package api is what an aggregator serves: /api/v1 of the whole fleet, and
// the debug pages.
package api

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/expected"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Expected says which nodes should answer; *expected.Cluster, *expected.File and
// *expected.Roster are such. What it returns is not changed.
type Expected interface {
	// Nodes are by name.
	Nodes() []string
	// Unsupported are the nodes that cannot run the agent, by name.
	Unsupported() []coverage.Unsupported
	Status() expected.Status
}

// Fanout admits questions to many nodes; *fanout.Fanout is one.
type Fanout interface {
	Begin(ctx context.Context, nodes int, timeout time.Duration) (*fanout.Question, error)
}

// Agents asks one node; *agents.Client is one.
type Agents interface {
	Ask(ctx context.Context, node string, q model.Query, take func(bytes int) bool) (apiv1.NodeAnswer, error)
}

// A Snapshot has the newest values of all nodes, and knows which of them have
// which pods; *snapshot.Snapshot is one.
type Snapshot interface {
	Current(ctx context.Context) *snapshot.View
	Finding(ctx context.Context, namespace, pod string) *snapshot.View
}

// A Fleet answers /api/v1 from all nodes that should be here: the newest values
// from the snapshot, everything else by asking those that can know.
type Fleet struct {
	Expected Expected
	// Joined tells that the roster is more than this process. Until then there
	// is no answer: it would be complete and empty.
	Joined   func() bool
	Fanout   Fanout
	Agents   Agents
	Snapshot Snapshot
}

// Ask implements [apiv1.Source].
func (f *Fleet) Ask(ctx context.Context, q apiv1.Question) (apiv1.Answer, error) {
	nodes := f.Expected.Nodes()
	if len(nodes) == 0 && !f.Joined() {
		return apiv1.Answer{}, apiv1.Errorf(apiv1.Unavailable, "no other member of the fleet was reached yet; see --join and /debug/roster")
	}
	if q.Node != "" {
		if !slices.Contains(nodes, q.Node) {
			return apiv1.Answer{}, f.unknown(q.Node, len(nodes))
		}
		nodes = []string{q.Node}
	}
	began := time.Now()
	if q.Latest || (q.Namespace != "" && q.Node == "") {
		// Half of the time: the nodes that have the pod may be well while others
		// keep a flight waiting.
		limited, cancel := context.WithTimeout(ctx, q.Timeout/2)
		defer cancel()
		var view *snapshot.View
		if q.Latest || q.Pod == "" {
			view = f.Snapshot.Current(limited)
		} else {
			view = f.Snapshot.Finding(limited, q.Namespace, q.Pod)
		}
		if q.Namespace != "" && q.Node == "" {
			if nodes = view.Candidates(q.Namespace, q.Pod); len(nodes) == 0 {
				// Every node has said that it has no such pod.
				return apiv1.Answer{Coverage: view.Coverage(nil)}, nil
			}
		}
		if q.Latest {
			return f.withUnsupported(q, latest(view, q, nodes)), nil
		}
		q.Timeout -= time.Since(began)
	}
	a, err := f.fan(ctx, q, nodes)
	if err != nil {
		return a, err
	}
	return f.withUnsupported(q, a), nil
}

// unknown says why a node is not among the expected ones.
func (f *Fleet) unknown(node string, expected int) error {
	for _, u := range f.Expected.Unsupported() {
		if u.Node == node {
			return apiv1.Errorf(apiv1.NotFound, "node %q cannot run the agent: %s", node, u.Reason)
		}
	}
	return apiv1.Errorf(apiv1.NotFound, "node %q is not expected; %d nodes are", node, expected)
}

// withUnsupported tells of the nodes that cannot answer, if all were to.
func (f *Fleet) withUnsupported(q apiv1.Question, a apiv1.Answer) apiv1.Answer {
	if q.Node != "" || q.Namespace != "" {
		return a
	}
	a.Coverage.Unsupported = f.Expected.Unsupported()
	if a.Tag != "" && len(a.Coverage.Unsupported) > 0 {
		told := fnv.New64a()
		for _, u := range a.Coverage.Unsupported {
			_, _ = fmt.Fprintf(told, "%s\x00%s\x00", u.Node, u.Reason)
		}
		a.Tag = fmt.Sprintf("%s-%x", a.Tag, told.Sum64())
	}
	return a
}

// latest answers from the snapshot about the nodes, which are all that can know.
func latest(view *snapshot.View, q apiv1.Question, nodes []string) apiv1.Answer {
	if q.Namespace == "" && q.Node == "" {
		nodes = nil // all, which is less work than thousands by name
	}
	a := apiv1.Answer{Coverage: view.Coverage(nodes), Tag: view.Tag(), Slot: view.Slot()}
	if q.Pods {
		a.Parts = view.Parts(q.Namespace, q.Pod, q.Node)
		if q.Namespace != "" && view.Knows(q.Namespace, q.Pod) {
			a.Nodes = []apiv1.NodeAnswer{{Known: true}} // a pod that has ended
		}
	} else {
		a.Nodes = view.Nodes(q.Node)
	}
	return a
}

// fan asks the nodes.
func (f *Fleet) fan(ctx context.Context, q apiv1.Question, nodes []string) (apiv1.Answer, error) {
	question, err := f.Fanout.Begin(ctx, len(nodes), q.Timeout)
	if err != nil {
		return apiv1.Answer{}, err
	}
	answers := make([]apiv1.NodeAnswer, len(nodes))
	results := question.Do(ctx, nodes, func(ctx context.Context, i int, take func(int) bool) (err error) {
		answers[i], err = f.Agents.Ask(ctx, nodes[i], q.Query, take)
		return err
	})
	kept := answers[:0]
	for i, a := range answers {
		if results[i].Outcome == coverage.OK || len(a.Chunks) > 0 || len(a.Binned) > 0 {
			kept = append(kept, a) // a part is better than nothing
		}
	}
	return apiv1.Answer{Nodes: kept, Coverage: fanout.Coverage(nodes, results), Done: question.End}, nil
}
