package layout

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// series is the layout of a time series database without chunks: one key for
// each series (a metric of an entity) and time, with zstd.
//
//	<namespace>\0<pod>\0<container>\0<UID>\0 <metric> <slot>   uvarint
type series struct{ db *pebble.DB }

func openSeries(dir string) (*series, error) {
	o := &pebble.Options{Logger: quiet{}}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		return pebble.UniformDBCompressionSettings(block.ZstdCompression)
	})
	db, err := pebble.Open(dir, o)
	return &series{db}, err
}

func (s *series) Append(slot int64, scrape *model.Scrape) error {
	batch := s.db.NewBatch()
	var key, val []byte
	for i := range scrape.Groups {
		g := &scrape.Groups[i]
		for j := range g.Samples {
			v := &g.Samples[j]
			key = entityKey(key[:0], g.Pod, v.Name)
			n := len(key)
			for m := range model.NumMetrics {
				x, ok := v.Get(m)
				if !ok {
					continue
				}
				key = binary.BigEndian.AppendUint32(append(key[:n], byte(m)), uint32(slot))
				val = binary.AppendUvarint(val[:0], x)
				if err := batch.Set(key, val, nil); err != nil {
					return err
				}
			}
		}
	}
	return errors.Join(batch.Commit(pebble.Sync), batch.Close())
}

func (s *series) Read(_ context.Context, q Query) (numbers int, err error) {
	return walk(s.db, q, func(v []byte) int {
		if _, n := binary.Uvarint(v); n <= 0 {
			return 0
		}
		return 1
	})
}

func (s *series) Close() error { return s.db.Close() }
