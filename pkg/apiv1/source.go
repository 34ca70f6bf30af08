package apiv1

import (
	"context"
	"iter"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Question is what a request asks of the nodes.
type Question struct {
	model.Query
	// Node, if not empty, is the only node to ask.
	Node string
	// Timeout bounds asking and reading. What the client takes to receive the
	// answer does not count.
	Timeout time.Duration
}

// An Answer is what the nodes said. It belongs to one goroutine.
type Answer struct {
	Nodes    []NodeAnswer
	Coverage coverage.Coverage
}

// A NodeAnswer is what one node said: chunks that are here, or pods whose
// chunks are read later, or both.
type NodeAnswer struct {
	Node string
	// Chunks are the coded chunks, in the order in which the node sent them:
	// of two samples for one slot the later one counts.
	Chunks [][]byte
	// Pods are read one after the other, each when it is its turn to be
	// written, so that a long answer never exists all at once. Answers about
	// nodes have none: a node's own day is 0.5 MB.
	Pods []PodChunks
	// Known tells, when there are neither chunks nor pods, whether the node
	// has older samples of what was asked for.
	Known bool
}

// PodChunks are a node's chunks of one pod, under all UIDs that it had.
type PodChunks struct {
	Namespace, Name string
	// Chunks reads the coded chunks, in the order of [NodeAnswer.Chunks]. It
	// is ranged over any number of times, and not always to the end. The bytes
	// are valid until the next step. An error comes last: the rest could not
	// be read, and the node counts as missing from then on. When the ctx that
	// [Source.Ask] was given has ended, nothing is read any more.
	Chunks iter.Seq2[[]byte, error]
}

// A Source answers questions; apiv1test.TestSource is what it has to pass. It
// is safe for concurrent use. An error is of this package's kinds ([NotFound]
// for an unknown node, …); nodes that do not answer are no error but missing
// in the coverage. ctx outlives the answer: what is read later ends with it.
type Source interface {
	Ask(ctx context.Context, q Question) (Answer, error)
}
