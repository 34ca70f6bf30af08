package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// maxEntities bounds the entities of one chunk, so that hostile bytes
	// cost at most about 1.5 MB of decoder state: 512 containers that restart
	// eight times in one block.
	maxEntities = 4096
	// pageBits is the size of a memory page, which memory and storage come in.
	pageBits = 12
	pageMask = 1<<pageBits - 1
)

// ErrCorrupt is wrapped by every error about bytes that are not a chunk.
var ErrCorrupt = errors.New("corrupt chunk")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// paged are the metrics that mostly are multiples of a page.
const paged = 1<<model.WorkingSet | 1<<model.Usage | 1<<model.RSS | 1<<model.Swap |
	1<<model.RootFS | 1<<model.Logs | 1<<model.Ephemeral

const allMetrics = 1<<model.NumMetrics - 1

// An entity is what coder and decoder both know about an entity after a row.
type entity struct {
	// sample has the entity's name and start and, in a decoder, the values of
	// its last row.
	sample model.Sample
	// present and before are the last two different presence masks: light
	// and full answers take turns, and going back costs one byte.
	present, before uint32
	// coded are the last known values in the form in which they are
	// subtracted from each other; see code.
	coded [model.NumMetrics]uint64
}

// state is what the tuples so far have defined.
type state struct {
	index    int64 // slot within the block of the last tuple; −1 before the first
	entities []entity
	live     []int // entities of the last tuple, ascending
}

func (s *state) reset() {
	s.index = -1
	s.entities = s.entities[:0]
	s.live = s.live[:0]
}

// code turns a value into the form that is subtracted: what tends to stay the
// same. usage is the usage's last known value, this row's included.
func code(m model.Metric, v, usage uint64, slot int64) uint64 {
	switch m {
	case model.Measured:
		return v - uint64(slot)
	case model.WorkingSet:
		return usage - v
	}
	return v
}

// value is the inverse of code. For the working set code is its own inverse.
func value(m model.Metric, c, usage uint64, slot int64) uint64 {
	if m == model.Measured {
		return c + uint64(slot)
	}
	return code(m, c, usage, slot)
}

func zigzag(d uint64) uint64   { return d<<1 ^ uint64(int64(d)>>63) }
func unzigzag(z uint64) uint64 { return z>>1 ^ -(z & 1) }

// appendDelta appends the step from prev to cur of a changed metric.
func appendDelta(b []byte, m model.Metric, prev, cur uint64) []byte {
	if paged&(1<<m) == 0 {
		return binary.AppendUvarint(b, zigzag(cur-prev))
	}
	// Pages have 52 bits, so that their zigzag difference has room for a flag.
	pages := zigzag(cur>>pageBits-prev>>pageBits) << 1
	if cur&pageMask == prev&pageMask {
		return binary.AppendUvarint(b, pages)
	}
	b = binary.AppendUvarint(b, pages|1)
	return binary.AppendUvarint(b, cur&pageMask)
}

// uvarint is binary.Uvarint from b[i:]: the number, and where the next begins,
// 0 on failure. Decoding is mostly this, so one and two bytes have a way of
// their own.
func uvarint(b []byte, i int) (uint64, int) {
	if i+1 < len(b) {
		if b[i] < 0x80 {
			return uint64(b[i]), i + 1
		}
		if b[i+1] < 0x80 {
			return uint64(b[i]&0x7f) | uint64(b[i+1])<<7, i + 2
		}
	}
	x, n := binary.Uvarint(b[i:])
	if n <= 0 {
		return 0, 0
	}
	return x, i + n
}

// readDelta reads what appendDelta wrote from b[i:]; next is 0 on failure.
func readDelta(b []byte, i int, m model.Metric, prev uint64) (cur uint64, next int) {
	z, i := uvarint(b, i)
	if i == 0 || paged&(1<<m) == 0 {
		return prev + unzigzag(z), i
	}
	pages := (prev>>pageBits + unzigzag(z>>1)) << pageBits
	if z&1 == 0 {
		return pages | prev&pageMask, i
	}
	r, i := uvarint(b, i)
	if r > pageMask {
		return 0, 0
	}
	return pages | r, i
}

// appendRow appends the row that takes e to v without some metrics, and updates e.
func (e *entity) appendRow(b []byte, v *model.Values, without model.Metrics, slot int64) []byte {
	present := v.Present() &^ uint32(without)
	usage, ok := v.Get(model.Usage)
	if !ok {
		usage = e.coded[model.Usage]
	}
	var changed uint32
	var next [model.NumMetrics]uint64
	for p := present; p != 0; p &= p - 1 {
		m := model.Metric(bits.TrailingZeros32(p))
		x, _ := v.Get(m)
		next[m] = code(m, x, usage, slot)
		if next[m] != e.coded[m] {
			changed |= 1 << m
		}
	}
	head := uint64(changed) << 1
	if present != e.present {
		head |= 1
	}
	b = binary.AppendUvarint(b, head)
	if present != e.present {
		if present == e.before {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, uint64(present)+1)
		}
		e.present, e.before = present, e.present
	}
	for ; changed != 0; changed &= changed - 1 {
		m := model.Metric(bits.TrailingZeros32(changed))
		b = appendDelta(b, m, e.coded[m], next[m])
		e.coded[m] = next[m]
	}
	return b
}

// derived are the metrics whose values depend on more than their own delta.
const derived = 1<<model.Measured | 1<<model.WorkingSet

// readRow reads one row into e; the bytes left are nil on failure.
func (e *entity) readRow(b []byte, slot int64) []byte {
	head, i := uvarint(b, 0)
	if i == 0 || head>>1 > allMetrics {
		return nil
	}
	changed := uint32(head >> 1)
	moved := changed | derived
	if head&1 != 0 {
		var p uint64
		if p, i = uvarint(b, i); i == 0 || p > allMetrics+1 {
			return nil
		}
		moved |= e.change(p)
	}
	for ; changed != 0; changed &= changed - 1 {
		m := model.Metric(bits.TrailingZeros32(changed))
		if e.coded[m], i = readDelta(b, i, m, e.coded[m]); i == 0 {
			return nil
		}
	}
	// Most values stay as they are: only what moved is written.
	for moved &= e.present; moved != 0; moved &= moved - 1 {
		m := model.Metric(bits.TrailingZeros32(moved))
		e.sample.Set(m, value(m, e.coded[m], e.coded[model.Usage], slot))
	}
	return b[i:]
}

// change makes other metrics present, and returns those that were not before: p
// is their set plus 1, or 0 for the set before the last.
func (e *entity) change(p uint64) uint32 {
	next := e.before
	if p > 0 {
		next = uint32(p - 1)
	}
	e.present, e.before = next, e.present
	for gone := e.before &^ next; gone != 0; gone &= gone - 1 {
		e.sample.Unset(model.Metric(bits.TrailingZeros32(gone)))
	}
	return next &^ e.before
}

// values writes the entity's present metrics in the given slot to v.
func (e *entity) values(v *model.Values, slot int64) {
	*v = model.Values{}
	for p := e.present; p != 0; p &= p - 1 {
		m := model.Metric(bits.TrailingZeros32(p))
		v.Set(m, value(m, e.coded[m], e.coded[model.Usage], slot))
	}
}
