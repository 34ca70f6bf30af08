package chunk

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Builder codes the samples of one group over one block, slot by slot. It is
// not safe for concurrent use.
type Builder struct {
	// Without are metrics that are left out.
	Without model.Metrics

	header Header
	state  state
	body   []byte
	order  []placed // scratch of Append
}

// placed is a sample and the entity that it belongs to.
type placed struct {
	entity int
	sample *model.Sample
}

// NewBuilder starts an empty chunk.
func NewBuilder(h Header) *Builder {
	b := new(Builder)
	b.Reset(h)
	return b
}

// Reset starts another empty chunk in the memory of the one before, whose Body
// is no longer valid then.
func (b *Builder) Reset(h Header) {
	b.header, b.body = h, b.body[:0]
	b.state.reset()
}

// Header is the header that the builder was made with.
func (b *Builder) Header() Header { return b.header }

// Body returns the tuples so far. The bytes never change, but Append and
// Extend may add to them: to keep them, keep their length.
func (b *Builder) Body() []byte { return b.body }

// AppendChunk appends the chunk so far, header and tuples, to dst.
func (b *Builder) AppendChunk(dst []byte) []byte {
	return append(b.header.append(dst), b.body...)
}

// Append adds the samples of one slot: at most one for each entity, at least
// one. Slots must ascend and lie in the block. On an error nothing was added.
func (b *Builder) Append(slot int64, samples []model.Sample) error {
	index := (slot - b.header.Block) / b.header.seconds()
	if slot < b.header.Block || index >= b.header.slots() || b.header.slot(index) != slot {
		return fmt.Errorf("slot %d is not one of the block %d at %v", slot, b.header.Block, b.header.Resolution)
	}
	if index <= b.state.index {
		return fmt.Errorf("slot %d is not after %d", slot, b.header.slot(b.state.index))
	}
	if len(samples) == 0 {
		return fmt.Errorf("slot %d: no samples", slot)
	}
	known := len(b.state.entities)
	if err := b.place(samples); err != nil {
		b.state.entities = b.state.entities[:known]
		return fmt.Errorf("slot %d: %w", slot, err)
	}

	sameSet := len(b.order) == len(b.state.live) && known == len(b.state.entities)
	for i := 0; sameSet && i < len(b.order); i++ {
		sameSet = b.order[i].entity == b.state.live[i]
	}
	head := uint64(index-b.state.index) << 1
	if sameSet {
		b.body = binary.AppendUvarint(b.body, head)
	} else {
		b.body = binary.AppendUvarint(b.body, head|1)
		b.appendSet(known)
	}
	for _, p := range b.order {
		b.body = b.state.entities[p.entity].appendRow(b.body, &p.sample.Values, b.Without, slot)
	}
	b.state.index = index
	return nil
}

// place finds the entity of each sample, new ones included, in b.order.
func (b *Builder) place(samples []model.Sample) error {
	b.order = b.order[:0]
	next := 0 // entities mostly come in the same order as last time
	for i := range samples {
		s := &samples[i]
		e := b.find(s, next)
		if e < 0 {
			if len(s.Name) > model.MaxName {
				return fmt.Errorf("container name of %d bytes", len(s.Name))
			}
			if len(b.state.entities) == maxEntities {
				return fmt.Errorf("more than %d entities in one block", maxEntities)
			}
			e = len(b.state.entities)
			b.state.entities = append(b.state.entities, entity{sample: model.Sample{Name: s.Name, Start: s.Start}})
		}
		b.order = append(b.order, placed{e, s})
		next = e + 1
	}
	slices.SortFunc(b.order, func(x, y placed) int { return cmp.Compare(x.entity, y.entity) })
	for i := 1; i < len(b.order); i++ {
		if b.order[i].entity == b.order[i-1].entity {
			return fmt.Errorf("two samples of container %q", b.order[i].sample.Name)
		}
	}
	return nil
}

// find returns the index of the sample's entity, looking at from first, or −1.
func (b *Builder) find(s *model.Sample, from int) int {
	n := len(b.state.entities)
	for i := range n {
		j := (from + i) % n
		if e := &b.state.entities[j]; e.sample.Name == s.Name && e.sample.Start == s.Start {
			return j
		}
	}
	return -1
}

// appendSet appends the definitions of entities from known on, and which
// entities have a row.
func (b *Builder) appendSet(known int) {
	defs := b.state.entities[known:]
	b.body = binary.AppendUvarint(b.body, uint64(len(defs)))
	for i := range defs {
		b.body = binary.AppendUvarint(b.body, uint64(len(defs[i].sample.Name)))
		b.body = append(b.body, defs[i].sample.Name...)
		b.body = binary.AppendUvarint(b.body, zigzag(uint64(defs[i].sample.Start-b.header.Block)))
	}
	bitmap := len(b.body)
	b.body = append(b.body, make([]byte, (len(b.state.entities)+7)/8)...)
	b.state.live = b.state.live[:0]
	for _, p := range b.order {
		b.body[bitmap+p.entity/8] |= 1 << (p.entity % 8)
		b.state.live = append(b.state.live, p.entity)
	}
}

// Extend adds tuples that another builder of the same chunk wrote after the
// ones that are here. Errors wrap [ErrCorrupt]; after one the builder is of no
// further use.
func (b *Builder) Extend(tuples []byte) error {
	d := Decoder{header: b.header, state: b.state, rest: tuples}
	for d.Next() {
	}
	b.state = d.state
	if d.err != nil {
		return d.err
	}
	b.body = append(b.body, tuples...)
	return nil
}

// Last returns the slot of the last tuple, in Unix seconds, and its samples;
// ok is false before the first.
func (b *Builder) Last() (slot int64, samples []model.Sample, ok bool) {
	if b.state.index < 0 {
		return 0, nil, false
	}
	slot = b.header.slot(b.state.index)
	samples = make([]model.Sample, len(b.state.live))
	for i, j := range b.state.live {
		e := &b.state.entities[j]
		samples[i].Name, samples[i].Start = e.sample.Name, e.sample.Start
		e.values(&samples[i].Values, slot)
	}
	return slot, samples, true
}
