package api

import (
	"bytes"
	"context"

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
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	a := apiv1.NodeAnswer{Node: l.node}
	for c, err := range l.ring.Chunks(ctx, q.Query) {
		if err != nil {
			return apiv1.Answer{}, apiv1.Errorf(apiv1.Unavailable, "read the ring: %v", err)
		}
		a.Chunks = append(a.Chunks, bytes.Clone(c))
	}
	if len(a.Chunks) == 0 && q.Namespace != "" {
		known, err := l.ring.Knows(q.Namespace, q.Pod)
		if err != nil {
			return apiv1.Answer{}, apiv1.Errorf(apiv1.Unavailable, "read the ring: %v", err)
		}
		a.Known = known
	}
	return apiv1.Answer{
		Nodes:    []apiv1.NodeAnswer{a},
		Coverage: coverage.Coverage{Expected: 1, Asked: 1, Answered: 1},
	}, nil
}
