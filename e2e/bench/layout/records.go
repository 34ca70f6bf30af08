package layout

import (
	"context"
	"encoding/binary"
	"errors"
	"math/bits"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// resolution is that of all benchmarks.
const resolution = 15 * time.Second

// records is the ring's open block for ever: one record for each scrape, with
// what changed since the one before in the block. There are no chunks, so who
// wants one pod reads past all others.
//
//	<slot>   n × (uvarint(group) [header if it is new] uvarint(len) tuples)
type records struct {
	db     *pebble.DB
	block  int64
	groups []*group
	index  map[model.PodRef]int
}

type group struct {
	*chunk.Builder
	stored int // bytes of the body that are in records
}

func openRecords(dir string) (*records, error) {
	o := &pebble.Options{Logger: quiet{}}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	db, err := pebble.Open(dir, o)
	return &records{db: db}, err
}

func (r *records) Append(slot int64, s *model.Scrape) error {
	if b := model.BlockOf(slot); b != r.block {
		r.block, r.groups, r.index = b, nil, map[model.PodRef]int{}
	}
	var record []byte
	for i := range s.Groups {
		g := &s.Groups[i]
		at, known := r.index[g.Pod]
		if !known {
			at = len(r.groups)
			r.index[g.Pod] = at
			r.groups = append(r.groups, &group{Builder: chunk.NewBuilder(chunk.Header{Pod: g.Pod, Block: r.block, Resolution: resolution})})
		}
		b := r.groups[at]
		record = binary.AppendUvarint(record, uint64(at))
		if !known {
			header := b.AppendChunk(nil) // nothing but a header so far
			record = append(binary.AppendUvarint(record, uint64(len(header))), header...)
		}
		if err := b.Append(slot, g.Samples); err != nil {
			return err
		}
		tuples := b.Body()[b.stored:]
		b.stored = len(b.Body())
		record = append(binary.AppendUvarint(record, uint64(len(tuples))), tuples...)
	}
	return r.db.Set(binary.BigEndian.AppendUint32(nil, uint32(slot)), record, pebble.Sync)
}

// Read puts the wanted pods' chunks together, block by block, and decodes them.
func (r *records) Read(_ context.Context, q Query) (numbers int, err error) {
	var chunks [][]byte // by group; nil if it is not wanted
	block := int64(-1)
	finish := func() error {
		n, err := decodeChunks(chunks, q)
		numbers += n
		chunks = chunks[:0]
		return err
	}
	lower := binary.BigEndian.AppendUint32(nil, uint32(model.BlockOf(q.From)))
	upper := binary.BigEndian.AppendUint32(nil, uint32(q.To+1))
	err = scan(r.db, lower, upper, func(key, record []byte) error {
		if b := model.BlockOf(int64(binary.BigEndian.Uint32(key))); b != block {
			if err := finish(); err != nil {
				return err
			}
			block = b
		}
		for len(record) > 0 {
			at, n := binary.Uvarint(record)
			record = record[n:]
			if int(at) == len(chunks) {
				header := part(&record)
				c, err := chunk.Parse(header)
				if err != nil {
					return err
				}
				if pod := c.Pod; pod != (model.PodRef{}) && (q.Pod == "" || pod.Name == q.Pod && pod.Namespace == q.Namespace) {
					chunks = append(chunks, append(make([]byte, 0, 4096), header...))
				} else {
					chunks = append(chunks, nil)
				}
			}
			tuples := part(&record)
			if chunks[at] != nil {
				chunks[at] = append(chunks[at], tuples...)
			}
		}
		return nil
	})
	return numbers, errors.Join(err, finish())
}

// part takes a part that begins with its length.
func part(b *[]byte) []byte {
	l, n := binary.Uvarint(*b)
	p := (*b)[n : n+int(l)]
	*b = (*b)[n+int(l):]
	return p
}

func decodeChunks(chunks [][]byte, q Query) (numbers int, err error) {
	var d chunk.Decoder
	for _, b := range chunks {
		if b == nil {
			continue
		}
		n, err := DecodeChunk(&d, b, q)
		if err != nil {
			return numbers, err
		}
		numbers += n
	}
	return numbers, nil
}

// DecodeChunk decodes all rows of a chunk and counts the numbers of those that
// the query asks for.
func DecodeChunk(d *chunk.Decoder, b []byte, q Query) (numbers int, err error) {
	c, err := chunk.Parse(b)
	if err != nil {
		return 0, err
	}
	for d.Reset(c); d.Next(); {
		row := d.Row()
		if row.Slot >= q.From && row.Slot <= q.To && (q.Container == "" || q.Container == row.Name) {
			numbers += bits.OnesCount32(row.Present())
		}
	}
	return numbers, d.Err()
}

func (r *records) Close() error { return r.db.Close() }
