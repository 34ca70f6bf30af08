package apiv1

import (
	"context"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Question is what a request asks of the nodes.
type Question struct {
	model.Query
	// Node, if not empty, is the only node to ask.
	Node string
	// Timeout bounds the whole answer.
	Timeout time.Duration
}

// An Answer is what the nodes said.
type Answer struct {
	Nodes    []NodeAnswer
	Coverage coverage.Coverage
}

// A NodeAnswer is what one node said.
type NodeAnswer struct {
	Node string
	// Chunks are the coded chunks, in the order in which the node sent them:
	// of two samples for one slot the later one counts.
	Chunks [][]byte
	// Known tells, when there are no chunks, whether the node has older
	// samples of what was asked for.
	Known bool
}

// A Source answers questions. It is safe for concurrent use. An error is of
// this package's kinds ([NotFound] for an unknown node, …); nodes that do not
// answer are no error but missing in the coverage.
type Source interface {
	Ask(ctx context.Context, q Question) (Answer, error)
}
