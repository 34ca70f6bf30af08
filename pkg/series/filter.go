package series

import (
	"errors"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A filter leaves rows and metrics out of chunks.
type filter struct {
	choice  *choice
	decoder chunk.Decoder
	builder chunk.Builder
	samples []model.Sample
	coded   []byte
}

// narrow returns what is wanted of a chunk, nil if that is nothing, and what
// cannot be read of it. The bytes are valid until it is called again.
func (f *filter) narrow(c chunk.Chunk) ([]byte, error) {
	rows, own, err := f.copy(c, f.choice.noOwn)
	if rows == 0 && own {
		rows, _, err = f.copy(c, false)
	}
	if rows == 0 {
		return nil, err
	}
	f.coded = f.builder.AppendChunk(f.coded[:0])
	return f.coded, err
}

// copy builds what is wanted of a chunk. It returns how many rows that are, and
// whether rows of the pod itself were left out.
func (f *filter) copy(c chunk.Chunk, noOwn bool) (rows int, own bool, err error) {
	f.builder.Reset(c.Header)
	f.samples = f.samples[:0]
	slot := int64(0)
	for f.decoder.Reset(c); f.decoder.Next(); {
		row := f.decoder.Row()
		if !f.choice.wants(&c, row) {
			continue
		}
		if noOwn && row.Name == "" {
			own = true
			continue
		}
		if row.Slot != slot {
			if err := f.append(slot); err != nil {
				return rows, own, err
			}
			slot = row.Slot
		}
		f.samples = append(f.samples, *row.Sample)
		f.samples[len(f.samples)-1].Keep(f.choice.metrics)
		rows++
	}
	return rows, own, errors.Join(f.decoder.Err(), f.append(slot))
}

// append adds the gathered samples of one slot.
func (f *filter) append(slot int64) error {
	if len(f.samples) == 0 {
		return nil
	}
	err := f.builder.Append(slot, f.samples)
	f.samples = f.samples[:0]
	return err
}
