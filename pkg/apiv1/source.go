package apiv1

import (
	"context"
	"iter"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Question is what a request asks of the nodes. A source may answer with more
// than its Container, NoOwn, Metrics, From and To ask for, and with slots instead
// of steps; what is not wanted is left out here. Where it leaves out all of a
// container that is in the chunks around the window, a row without values has to
// be left, and a chunk without rows where the container is in none: they tell
// what is known.
type Question struct {
	model.Query
	// Latest asks for the newest scrape of each node. To is the last slot that all
	// have sampled then ([model.Sampled]); what is older than From is not shown any
	// more.
	Latest bool
	// Node, if not empty, is the only node to ask.
	Node string
	// Timeout bounds asking and reading. What the client takes to receive the
	// answer does not count.
	Timeout time.Duration
}

// An Answer is what the nodes said. It belongs to one goroutine.
type Answer struct {
	Nodes []NodeAnswer
	// Parts, if not nil, are what there is of pods beside Nodes, by namespace and
	// name, those of one pod in the order in which they count. They may be ranged
	// over any number of times.
	Parts    iter.Seq[Part]
	Coverage coverage.Coverage
	// Tag, if not empty, changes whenever the answer to the same question does,
	// and is the same in every process: it becomes the ETag.
	Tag string
	// Slot, if not 0, is the last slot of newest values, in Unix seconds: another
	// one may have come after the question was asked.
	Slot int64
	// Done, if not nil, is called once nothing more is read of the answer.
	Done func()
}

// A Part is one chunk of a pod, and the node that has it.
type Part struct {
	Node  string
	Chunk chunk.Chunk
}

// A NodeAnswer is what one node said: chunks that are here, or pods whose
// chunks are read later, or both.
type NodeAnswer struct {
	Node string
	// Chunks are the coded chunks, in the order in which the node sent them:
	// of two samples for one slot the later one counts.
	Chunks [][]byte
	// Binned are chunks whose rows are steps, in the order in which they came.
	Binned []Binned
	// Pods are read one after the other, each when it is its turn to be
	// written, so that a long answer never exists all at once. Answers about
	// nodes have none: a node's own day is 0.5 MB.
	Pods []PodChunks
	// Known tells, when there are neither chunks nor pods, whether the node
	// has older samples of what was asked for.
	Known bool
}

// Binned are the steps of a chunk; the same step may come in several parts, of
// several chunks and nodes.
type Binned struct {
	// Values is a coded chunk with one row at the start of each step: the sums of
	// a mean, otherwise the values.
	Values []byte
	// Weights has the same rows: of a mean how many values each sum has; of the
	// last, how many seconds after the start of its step the value's slot
	// begins. It is empty for the largest and the smallest.
	Weights []byte
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

// done tells the source that nothing more is read.
func (a *Answer) done() {
	if a.Done != nil {
		a.Done()
	}
}

// A Source answers questions; apiv1test.TestSource is what it has to pass. It
// is safe for concurrent use. An error is of this package's kinds ([NotFound]
// for an unknown node, …); nodes that do not answer are no error but missing
// in the coverage. ctx outlives the answer: what is read later ends with it.
type Source interface {
	Ask(ctx context.Context, q Question) (Answer, error)
}
