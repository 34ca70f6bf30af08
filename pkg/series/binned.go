package series

import (
	"fmt"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Binned walks through the steps of a chunk, as a [chunk.Decoder] does through
// slots. It never panics, whatever the bytes.
type Binned struct {
	values, weights chunk.Decoder
	weighted        bool
	none            model.Values
	err             error
}

// Reset makes d start with the steps in values, whose weights are those bytes,
// a chunk or nothing.
func (d *Binned) Reset(values chunk.Chunk, weights []byte) {
	d.values.Reset(values)
	d.weighted, d.err = len(weights) > 0, nil
	if d.weighted {
		var w chunk.Chunk
		w, d.err = chunk.ParseLike(weights, values.Pod)
		d.weights.Reset(w)
	}
}

// Next steps to the next row. It returns false at the end and at an error.
func (d *Binned) Next() bool {
	if d.err != nil {
		return false
	}
	more := d.values.Next()
	if d.err = d.values.Err(); d.err != nil || !d.weighted {
		return more && d.err == nil
	}
	weighs := d.weights.Next()
	if d.err = d.weights.Err(); d.err == nil && weighs != more {
		d.err = fmt.Errorf("%w: steps and weights of different length", chunk.ErrCorrupt)
	}
	if d.err != nil {
		return false
	}
	if v, w := d.values.Row(), d.weights.Row(); more && (v.Slot != w.Slot || v.Name != w.Name || v.Start != w.Start) {
		d.err = fmt.Errorf("%w: a weight of %q at %d for %q at %d", chunk.ErrCorrupt, w.Name, w.Slot, v.Name, v.Slot)
		return false
	}
	return more
}

// Row is the row that Next stepped to, at the start of a step, and the weights
// of its values. Both are valid until the next call of Next or Reset.
func (d *Binned) Row() (*chunk.Row, *model.Values) {
	if !d.weighted {
		return d.values.Row(), &d.none
	}
	return d.values.Row(), &d.weights.Row().Values
}

// Err is what ended the rows early, or nil. It wraps [chunk.ErrCorrupt].
func (d *Binned) Err() error { return d.err }
