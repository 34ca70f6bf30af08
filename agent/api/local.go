package api

import (
	"bytes"
	"context"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// local answers /api/v1 from the node's own ring.
type local struct {
	node string
	ring Ring
}

// Local is the source of a /api/v1 that covers this node only. It keeps
// working when nothing else does: it needs no roster, no API server.
func Local(node string, r Ring) apiv1.Source { return local{node, r} }

// Ask implements [apiv1.Source].
func (l local) Ask(ctx context.Context, q apiv1.Question) (apiv1.Answer, error) {
	if q.Node != "" && q.Node != l.node {
		return apiv1.Answer{}, apiv1.Errorf(apiv1.NotFound, "this is node %q; ask an aggregator about %q", l.node, q.Node)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	a := apiv1.NodeAnswer{Node: l.node}
	var failed error
	for c, err := range l.ring.Chunks(ctx, q.Query) {
		if failed = err; err == nil {
			a.Chunks = append(a.Chunks, bytes.Clone(c))
		}
	}
	if len(a.Chunks) == 0 && q.Namespace != "" && failed == nil {
		a.Known, failed = l.ring.Knows(q.Namespace, q.Pod)
	}
	cov := coverage.Coverage{Expected: 1, Asked: 1, Answered: 1}
	if failed != nil {
		cov.Lose(coverage.Missing{Node: l.node, Outcome: coverage.Truncated, Elapsed: time.Since(began), Err: failed.Error()})
	}
	return apiv1.Answer{Nodes: []apiv1.NodeAnswer{a}, Coverage: cov}, nil
}
