package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A record is what grew in the open block since the record before it: mostly
// one slot, more after writes that failed.
//
//	version
//	uvarint(resolution in s) varint(block start / 15 min) uvarint(sequence number)
//	uvarint(index of the previous record's slot + 1)
//	uvarint(n) n × uvarint(index of a slot)                the slots it adds
//	uvarint(n) n × 3 × (uvarint(len) name)                 new groups
//	uvarint(n) n × (uvarint(group) uvarint(len) tuples)    what grew
const recordVersion = 1

// errRecord is wrapped by every error about bytes that are not a record of
// the block.
var errRecord = errors.New("damaged record of the open block")

// appendRecord appends what no record on disk holds; markRecorded says that it
// is there.
func (b *block) appendRecord(dst []byte) []byte {
	dst = append(dst, recordVersion)
	dst = binary.AppendUvarint(dst, uint64(b.resolution/time.Second))
	dst = binary.AppendVarint(dst, b.start/model.BlockSeconds)
	dst = binary.AppendUvarint(dst, b.seq)
	dst = binary.AppendUvarint(dst, uint64(b.storedLast+1))

	var slots, grown uint64
	for _, taken := range b.taken[b.storedLast+1:] {
		if taken {
			slots++
		}
	}
	dst = binary.AppendUvarint(dst, slots)
	for i := b.storedLast + 1; i <= b.last; i++ {
		if b.taken[i] {
			dst = binary.AppendUvarint(dst, uint64(i))
		}
	}

	dst = binary.AppendUvarint(dst, uint64(len(b.groups)-b.storedGroups))
	for _, g := range b.groups[b.storedGroups:] {
		pod := g.Header().Pod
		for _, name := range []string{pod.Namespace, pod.Name, pod.UID} {
			dst = binary.AppendUvarint(dst, uint64(len(name)))
			dst = append(dst, name...)
		}
	}

	for _, g := range b.groups {
		if len(g.Body()) > g.stored {
			grown++
		}
	}
	dst = binary.AppendUvarint(dst, grown)
	for i, g := range b.groups {
		if tuples := g.Body()[g.stored:]; len(tuples) > 0 {
			dst = binary.AppendUvarint(dst, uint64(i))
			dst = binary.AppendUvarint(dst, uint64(len(tuples)))
			dst = append(dst, tuples...)
		}
		g.recorded = len(g.Body())
	}
	b.recordedLast, b.recordedGroups = b.last, len(b.groups)
	return dst
}

// markRecorded notes that the last record that was made is on disk. The block
// may have grown since.
func (b *block) markRecorded() {
	b.storedLast, b.storedGroups = b.recordedLast, b.recordedGroups
	for _, g := range b.groups[:b.storedGroups] {
		g.stored = g.recorded
	}
}

// markStored notes that all that is in the block is on disk.
func (b *block) markStored() {
	b.storedLast, b.storedGroups = b.last, len(b.groups)
	for _, g := range b.groups {
		g.stored = len(g.Body())
	}
}

// markUnstored notes that nothing of the block is on disk.
func (b *block) markUnstored() {
	b.storedLast, b.storedGroups = -1, 0
	for _, g := range b.groups {
		g.stored = 0
	}
}

// A recordHead is the part of a record that says where it belongs.
type recordHead struct {
	resolution time.Duration
	start      int64
	seq        uint64
	prev       int // index of the previous record's slot; −1: the block's first record
	rest       reader
}

func parseRecord(b []byte) (recordHead, error) {
	var h recordHead
	if len(b) == 0 || b[0] != recordVersion {
		return h, fmt.Errorf("%w: unknown version", errRecord)
	}
	r := reader{b: b[1:]}
	h.resolution = time.Duration(r.uvarint(model.BlockSeconds)) * time.Second
	h.start = r.varint() * model.BlockSeconds
	h.seq = r.uvarint(1 << 62)
	h.prev = int(r.uvarint(model.BlockSeconds)) - 1
	h.rest = r
	if r.failed {
		return h, fmt.Errorf("%w: head", errRecord)
	}
	if err := model.ValidateResolution(h.resolution); err != nil {
		return h, fmt.Errorf("%w: %w", errRecord, err)
	}
	return h, nil
}

// apply adds the record to the block, of which all before it is there. After
// an error the block is of no further use.
func (b *block) apply(h recordHead) error {
	r := h.rest
	last := b.last
	for range r.uvarint(model.BlockSeconds) {
		i := int(r.uvarint(uint64(len(b.taken) - 1)))
		if r.failed || i <= last {
			return fmt.Errorf("%w: slots", errRecord)
		}
		b.taken[i], last = true, i
	}
	for range r.uvarint(1 << 20) {
		pod := model.PodRef{Namespace: r.name(), Name: r.name(), UID: r.name()}
		if r.failed {
			return fmt.Errorf("%w: new groups", errRecord)
		}
		b.group(pod)
	}
	for range r.uvarint(uint64(len(b.groups))) {
		i := r.uvarint(uint64(len(b.groups) - 1))
		tuples := r.bytes(r.uvarint(1 << 30))
		if r.failed {
			return fmt.Errorf("%w: tuples", errRecord)
		}
		if err := b.groups[i].Extend(tuples); err != nil {
			return fmt.Errorf("%w: group %d: %w", errRecord, i, err)
		}
	}
	if r.failed {
		return fmt.Errorf("%w: cut short", errRecord)
	}
	b.last = last
	return nil
}

// A reader reads varints and names; after the first failure it only yields
// zeros, so that callers check once.
type reader struct {
	b      []byte
	failed bool
}

// uvarint reads a number of at most limit.
func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.failed = true
	}
	if r.failed {
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 || v > 1<<40 || v < -(1<<40) { // times of thousands of years
		r.failed = true
	}
	if r.failed {
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.failed = true
	}
	if r.failed {
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) name() string { return string(r.bytes(r.uvarint(model.MaxName))) }
