package series

import (
	"errors"
	"slices"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// An Out takes what a [Narrower] leaves. The bytes are valid until it returns.
type Out interface {
	// Chunk takes a chunk as it was stored, or with fewer rows and metrics.
	Chunk(b []byte) error
	// Binned takes the steps of a chunk, and their weights if there are any.
	Binned(values, weights []byte) error
}

// A Narrower leaves out of a node's stored chunks what a query does not ask
// for: containers, metrics, slots outside of the window, and all but the steps.
// If that is nothing, a chunk is handed on as it is. It holds the chunks of one
// block at most. It is not safe for concurrent use.
type Narrower struct {
	out     Out
	choice  choice
	filter  filter
	stepper stepper
	pod     model.PodRef // of the chunk before
	sent    bool         // something

	// held are chunks of one block that are yet to be made into steps: several
	// can be of one pod, and then the younger's samples count.
	held  []chunk.Chunk
	bytes []byte // of held
}

// NewNarrower makes a Narrower for the chunks of one query, whose step, if any,
// is a multiple of the resolution.
func NewNarrower(q model.Query, out Out) *Narrower {
	n := &Narrower{out: out, choice: choiceOf(q)}
	n.filter.choice = &n.choice
	if q.Step > 0 {
		n.stepper.init(&n.choice)
	}
	return n
}

// Add takes the next stored chunk, which is one of the node or pods that the
// query asks for. They come by block. Errors are those of Out, or say what
// cannot be read of this chunk or one before; then the others can.
func (n *Narrower) Add(b []byte) error {
	c, err := chunk.ParseLike(b, n.pod)
	if err != nil {
		return err
	}
	n.pod = c.Pod
	n.choice.meet(&c)
	switch {
	case n.choice.step > 0:
		return n.hold(b, c)
	case n.choice.all(&c):
		return n.send(b, nil)
	}
	return n.send(n.filter.narrow(c))
}

// send hands on a chunk that is not empty. err is what kept it from being whole.
func (n *Narrower) send(b []byte, err error) error {
	if len(b) == 0 {
		return err
	}
	n.sent = true
	if failed := n.out.Chunk(b); failed != nil {
		return failed
	}
	return err
}

// hold keeps a chunk until all chunks of its block are here.
func (n *Narrower) hold(b []byte, c chunk.Chunk) (err error) {
	if len(n.held) > 0 && n.held[0].Block != c.Block {
		err = n.release()
	}
	from := len(n.bytes)
	n.bytes = append(n.bytes, b...)
	c, _ = chunk.ParseLike(n.bytes[from:], c.Pod) // as it was parsed before
	n.held = append(n.held, c)
	return err
}

// release makes steps of the chunks that are held, pod by pod.
func (n *Narrower) release() error {
	slices.SortStableFunc(n.held, func(a, b chunk.Chunk) int { return byName(&a, &b) })
	var failed error
	for all := n.held; len(all) > 0; {
		i := 1
		for i < len(all) && byName(&all[i], &all[0]) == 0 {
			i++
		}
		failed = errors.Join(failed, n.steps(all[:i]))
		all = all[i:]
	}
	clear(n.held)
	n.held, n.bytes = n.held[:0], n.bytes[:0]
	return failed
}

func byName(a, b *chunk.Chunk) int {
	x, y := a.Pod, b.Pod
	x.UID, y.UID = "", ""
	return x.Compare(y)
}

// steps hands on the steps of the chunks of one pod and block, or what is
// wanted of their slots if the steps cannot be told in numbers of 64 bits.
func (n *Narrower) steps(chunks []chunk.Chunk) error {
	fits, err := n.stepper.read(chunks)
	if fits {
		sent, failed := n.stepper.write(chunks[0].Pod, n.out)
		n.sent = n.sent || sent
		return errors.Join(err, failed)
	}
	err = nil // it comes once more
	for _, c := range chunks {
		err = errors.Join(err, n.send(n.filter.narrow(c)))
	}
	return err
}

// End ends the chunks. Where there are chunks but no row of the container that
// is asked for, one chunk tells so: if the container is in them outside of the
// window or without the metrics, it has a row without values, else no row.
func (n *Narrower) End() error {
	err := n.release()
	if b := n.choice.trace(); b != nil && !n.sent {
		return n.send(b, err)
	}
	return err
}
