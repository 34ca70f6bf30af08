package chunk

import (
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
	c := Chunk{Header: Header{Pod: like}}
	if len(b) == 0 {
		return c, corrupt("empty")
	}
	if b[0] != version {
		return c, corrupt("format version %d, this program reads %d", b[0], version)
	}
	seconds, n := binary.Uvarint(b[1:])
	if n <= 0 || seconds > model.BlockSeconds {
		return c, corrupt("resolution")
	}
	b = b[1+n:]
	c.Resolution = time.Duration(seconds) * time.Second
	if err := model.ValidateResolution(c.Resolution); err != nil {
		return c, corrupt("%v", err)
	}
	block, n := binary.Varint(b)
	// Blocks of the years 1 to 9999 or so: products with BlockSeconds must not overflow.
	if n <= 0 || block > 1<<40 || block < -(1<<40) {
		return c, corrupt("block start")
	}
	b = b[n:]
	c.Block = block * model.BlockSeconds
	for _, s := range []*string{&c.Pod.Namespace, &c.Pod.Name, &c.Pod.UID} {
		name, rest := readName(b)
		if rest == nil {
			return c, corrupt("name of the pod")
		}
		if *s != string(name) {
			*s = string(name)
		}
		b = rest
	}
	c.body = b
	return c, nil
}

// readName reads a name of at most [model.MaxName] bytes; the bytes left are nil on failure.
func readName(b []byte) (name, rest []byte) {
	l, n := binary.Uvarint(b)
	if n <= 0 || l > model.MaxName || uint64(len(b)-n) < l {
		return nil, nil
	}
	return b[n : n+int(l)], b[n+int(l):]
}
