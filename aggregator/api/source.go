// Package api is what an aggregator serves: /api/v1 of the whole fleet, and
// the debug pages.
package api

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Expected says which nodes should answer, by name.
type Expected interface {
	Nodes() []string
}

// Fanout asks many nodes; *fanout.Fanout is one.
type Fanout interface {
	Ask(ctx context.Context, nodes []string, q model.Query, timeout time.Duration) ([]apiv1.NodeAnswer, coverage.Coverage)
}

// fleet answers /api/v1 from all nodes that should be here.
type fleet struct {
	expected Expected
	joined   func() bool
	fanout   Fanout
}

// Fleet is the source of a /api/v1 that covers all expected nodes. Until
// joined tells that the roster is more than this process, there is no answer:
// it would be complete and empty.
func Fleet(e Expected, joined func() bool, f Fanout) apiv1.Source {
	return fleet{e, joined, f}
}

// Ask implements [apiv1.Source].
func (s fleet) Ask(ctx context.Context, q apiv1.Question) (apiv1.Answer, error) {
	nodes := s.expected.Nodes()
	if len(nodes) == 0 && !s.joined() {
		return apiv1.Answer{}, apiv1.Errorf(apiv1.Unavailable, "no other member of the fleet was reached yet; see --join and /debug/roster")
	}
	if q.Node != "" {
		if !slices.Contains(nodes, q.Node) {
			return apiv1.Answer{}, apiv1.Errorf(apiv1.NotFound, "node %q is not expected; %d nodes are", q.Node, len(nodes))
		}
		nodes = []string{q.Node}
	}
	answers, cov := s.fanout.Ask(ctx, nodes, q.Query, q.Timeout)
	return apiv1.Answer{Nodes: answers, Coverage: cov}, nil
}
