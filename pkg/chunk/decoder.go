package chunk

import (
	"encoding/binary"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Row is one sample as a [Decoder] yields it.
type Row struct {
	// Slot is the slot's start, in Unix seconds.
	Slot int64
	// Entity numbers the entities of the chunk from 0.
	Entity int
	*model.Sample
}

// A Decoder walks through the rows of a chunk in the order of slots:
//
//	var d chunk.Decoder
//	d.Reset(c)
//	for d.Next() {
//		row := d.Row()
//		…
//	}
//	if d.Err() != nil { … }
//
// A Decoder can be reset for the next chunk and then reuses its memory: it
// allocates for entities, never for rows. It never panics, whatever the bytes.
type Decoder struct {
	header Header
	state  state
	rest   []byte
	row    Row
	next   int // next row of the tuple, an index of state.live; len(live) = tuple is done
	inside bool
	err    error
	names  map[string]string // nil until a name takes the place of another
}

// Reset makes d start with c.
func (d *Decoder) Reset(c Chunk) {
	d.header, d.rest = c.Header, c.body
	d.state.reset()
	d.inside, d.err = false, nil
}

// Next steps to the next row. It returns false at the end and at an error.
func (d *Decoder) Next() bool {
	if d.err != nil {
		return false
	}
	if !d.inside || d.next == len(d.state.live) {
		d.inside = false
		if len(d.rest) == 0 {
			return false
		}
		if d.err = d.readTuple(); d.err != nil {
			return false
		}
		d.inside, d.next = true, 0
	}
	i := d.state.live[d.next]
	e := &d.state.entities[i]
	slot := d.header.slot(d.state.index)
	rest := e.readRow(d.rest, slot)
	if rest == nil {
		d.err = corrupt("row of entity %d in slot %d of block %d", i, d.state.index, d.header.Block)
		return false
	}
	d.rest = rest
	d.next++
	d.row = Row{Slot: slot, Entity: i, Sample: &e.sample}
	return true
}

// Row is the row that Next stepped to. It is valid until the next call of
// Next or Reset.
func (d *Decoder) Row() *Row { return &d.row }

// Err is what ended the rows early, or nil. It wraps [ErrCorrupt].
func (d *Decoder) Err() error { return d.err }

// readTuple reads a tuple's head, up to its first row.
func (d *Decoder) readTuple() error {
	head, n := uvarint(d.rest, 0)
	if n == 0 {
		return corrupt("head of a tuple")
	}
	d.rest = d.rest[n:]
	step := head >> 1
	if step == 0 || step > uint64(d.header.slots()-1-d.state.index) {
		return corrupt("step of %d slots after slot %d", step, d.state.index)
	}
	d.state.index += int64(step)
	if head&1 != 0 {
		return d.readSet()
	}
	if len(d.state.live) == 0 {
		return corrupt("first tuple names no entities")
	}
	return nil
}

// maxNames bounds the names that a decoder keeps, to 1.2 MB if all are as long
// as can be: the containers of thousands of pods have a few hundred names.
const maxNames = 4096

// name makes a string, the same one for the same name: making each again and
// again would be most of what decoding allocates.
func (d *Decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	if d.names == nil || len(d.names) == maxNames {
		d.names = map[string]string{}
	}
	s := string(b)
	d.names[s] = s
	return s
}

// define adds an entity. In chunk after chunk the same names come, mostly at
// the same places.
func (d *Decoder) define(name []byte, start int64) {
	i := len(d.state.entities)
	if i < cap(d.state.entities) {
		d.state.entities = d.state.entities[:i+1]
	} else {
		d.state.entities = append(d.state.entities, entity{})
	}
	e := &d.state.entities[i]
	known := e.sample.Name
	switch {
	case known == string(name):
	case known == "":
		known = string(name)
	default:
		known = d.name(name)
	}
	*e = entity{sample: model.Sample{Name: known, Start: start}}
}

func (d *Decoder) readSet() error {
	defs, n := binary.Uvarint(d.rest)
	if n <= 0 || defs > uint64(maxEntities-len(d.state.entities)) {
		return corrupt("number of new entities")
	}
	d.rest = d.rest[n:]
	for range defs {
		name, rest := readName(d.rest)
		if rest == nil {
			return corrupt("name of an entity")
		}
		start, n := binary.Uvarint(rest)
		if n <= 0 {
			return corrupt("start of entity %q", name)
		}
		d.rest = rest[n:]
		d.define(name, int64(unzigzag(start))+d.header.Block)
	}
	size := (len(d.state.entities) + 7) / 8
	if len(d.rest) < size {
		return corrupt("set of entities")
	}
	d.state.live = d.state.live[:0]
	for i := range size * 8 {
		if d.rest[i/8]&(1<<(i%8)) == 0 {
			continue
		}
		if i >= len(d.state.entities) {
			return corrupt("row of an entity that was not defined")
		}
		d.state.live = append(d.state.live, i)
	}
	if len(d.state.live) == 0 {
		return corrupt("tuple without rows")
	}
	d.rest = d.rest[size:]
	return nil
}
