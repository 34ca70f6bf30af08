package layout

import (
	"context"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// rows is the obvious layout: one row for each entity and slot with all its
// numbers in full, Pebble's defaults, hence with snappy.
//
//	<namespace>\0<pod>\0<container>\0<UID>\0 <slot>   uvarint(mask) uvarint…
type rows struct{ db *pebble.DB }

func openRows(dir string) (*rows, error) {
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
	return &rows{db}, err
}

func (r *rows) Append(slot int64, s *model.Scrape) error {
	batch := r.db.NewBatch()
	var key, row []byte
	for i := range s.Groups {
		g := &s.Groups[i]
		for j := range g.Samples {
			v := &g.Samples[j]
			key = binary.BigEndian.AppendUint32(entityKey(key[:0], g.Pod, v.Name), uint32(slot))
			row = binary.AppendUvarint(row[:0], uint64(v.Present()))
			for m := range model.NumMetrics {
				if x, ok := v.Get(m); ok {
					row = binary.AppendUvarint(row, x)
				}
			}
			if err := batch.Set(key, row, nil); err != nil {
				return err
			}
		}
	}
	return errors.Join(batch.Commit(pebble.Sync), batch.Close())
}

func (r *rows) Read(_ context.Context, q Query) (numbers int, err error) {
	return walk(r.db, q, decodeRow)
}

// decodeRow counts the numbers of a row, having read each.
func decodeRow(v []byte) (numbers int) {
	mask, n := binary.Uvarint(v)
	var values model.Values
	for m := uint64(mask); m != 0 && n > 0; m &= m - 1 {
		v = v[n:]
		var x uint64
		x, n = binary.Uvarint(v)
		values.Set(model.Metric(bits.TrailingZeros64(m)), x)
	}
	return bits.OnesCount32(values.Present())
}

func (r *rows) Close() error { return r.db.Close() }
