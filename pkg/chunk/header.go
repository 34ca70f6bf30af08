package chunk

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// version is the first byte of every chunk.
const version = 1

// A Header says whose samples a chunk holds, and when they were taken.
type Header struct {
	// Pod is the zero PodRef in a chunk of the node itself.
	Pod model.PodRef
	// Block is the block's start, in Unix seconds, a multiple of 15 min.
	Block int64
	// Resolution is the distance of slots: whole seconds that divide 15 min.
	Resolution time.Duration
}

// slots is how many slots the block has.
func (h *Header) slots() int64 { return model.BlockSeconds / h.seconds() }

func (h *Header) seconds() int64 { return int64(h.Resolution / time.Second) }

// slot is the start of the slot with that index in the block, in Unix seconds.
func (h *Header) slot(index int64) int64 { return h.Block + index*h.seconds() }

func (h *Header) append(b []byte) []byte {
	b = append(b, version)
	b = binary.AppendUvarint(b, uint64(h.seconds()))
	b = binary.AppendVarint(b, h.Block/model.BlockSeconds)
	for _, s := range []string{h.Pod.Namespace, h.Pod.Name, h.Pod.UID} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// A Chunk is a header and the tuples that follow it. It refers to the bytes
// it was parsed from.
type Chunk struct {
	Header
	body []byte
}

// Parse reads a chunk's header. The tuples are read, and checked, by a
// [Decoder]. Errors wrap [ErrCorrupt].
func Parse(b []byte) (Chunk, error) { return ParseLike(b, model.PodRef{}) }

// ParseLike is Parse, but takes the names of like where they are the same: what
// parses the chunks of the same pods again and again need not have their names
// again and again.
func ParseLike(b []byte, like model.PodRef) (Chunk, error) {
	c, n, err := parse(b)
	if err != nil {
		return c, err
	}
	c.Pod = like
	if c.Pod.Namespace != string(n.Namespace) {
		c.Pod.Namespace = string(n.Namespace)
	}
	if c.Pod.Name != string(n.Name) {
		c.Pod.Name = string(n.Name)
	}
	if c.Pod.UID != string(n.UID) {
		c.Pod.UID = string(n.UID)
	}
	return c, nil
}

var errOther = corrupt("chunk of another pod")

// ParseOf is Parse for a chunk of that pod, whatever its UID, which is left out:
// it allocates nothing. A chunk of another pod is an error.
func ParseOf(b []byte, namespace, pod string) (Chunk, error) {
	c, n, err := parse(b)
	if err == nil && (string(n.Namespace) != namespace || string(n.Name) != pod) {
		err = errOther
	}
	c.Pod = model.PodRef{Namespace: namespace, Name: pod}
	return c, err
}

// Names are the names in a chunk's header, as they stand there.
type Names struct{ Namespace, Name, UID []byte }

// NamesOf reads the names in a chunk's header, and allocates nothing. Errors are
// as with [Parse].
func NamesOf(b []byte) (Names, error) {
	_, n, err := parse(b)
	return n, err
}

// Compare orders as [model.PodRef.Compare] does.
func (n *Names) Compare(o *Names) int {
	if d := bytes.Compare(n.Namespace, o.Namespace); d != 0 {
		return d
	}
	if d := bytes.Compare(n.Name, o.Name); d != 0 {
		return d
	}
	return bytes.Compare(n.UID, o.UID)
}

// First is the slot of a chunk's first row, in Unix seconds; ok is false if
// there is none. It allocates nothing.
func First(b []byte) (slot int64, ok bool) {
	c, _, err := parse(b)
	if err != nil {
		return 0, false
	}
	head, n := binary.Uvarint(c.body)
	step := head >> 1
	if n <= 0 || step == 0 || step > uint64(c.slots()) {
		return 0, false
	}
	return c.slot(int64(step) - 1), true
}

// parse reads a chunk's header but for the names, which it finds.
func parse(b []byte) (c Chunk, n Names, err error) {
	if len(b) == 0 {
		return c, n, corrupt("empty")
	}
	if b[0] != version {
		return c, n, corrupt("format version %d, this program reads %d", b[0], version)
	}
	seconds, m := binary.Uvarint(b[1:])
	if m <= 0 || seconds > model.BlockSeconds {
		return c, n, corrupt("resolution")
	}
	b = b[1+m:]
	c.Resolution = time.Duration(seconds) * time.Second
	if err := model.ValidateResolution(c.Resolution); err != nil {
		return c, n, corrupt("%v", err)
	}
	block, m := binary.Varint(b)
	// Blocks of the years 1 to 9999 or so: products with BlockSeconds must not overflow.
	if m <= 0 || block > 1<<40 || block < -(1<<40) {
		return c, n, corrupt("block start")
	}
	b = b[m:]
	c.Block = block * model.BlockSeconds
	for _, name := range []*[]byte{&n.Namespace, &n.Name, &n.UID} {
		if *name, b = readName(b); b == nil {
			return c, n, corrupt("name of the pod")
		}
	}
	c.body = b
	return c, n, nil
}

// readName reads a name of at most [model.MaxName] bytes; the bytes left are nil on failure.
func readName(b []byte) (name, rest []byte) {
	l, n := binary.Uvarint(b)
	if n <= 0 || l > model.MaxName || uint64(len(b)-n) < l {
		return nil, nil
	}
	return b[n : n+int(l)], b[n+int(l):]
}
