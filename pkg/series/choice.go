package series

import (
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A choice is what a query wants of the rows of chunks.
type choice struct {
	container string // "": all
	noOwn     bool
	from, to  int64
	metrics   model.Metrics
	step      int64
	agg       model.Aggregate

	// header is that of the first chunk, or of the first that has the container;
	// slot is where it has it, if has is true.
	header chunk.Header
	met    bool
	has    bool
	slot   int64
}

func choiceOf(q model.Query) choice {
	c := choice{
		container: q.Container, noOwn: q.NoOwn, from: q.From, to: q.To,
		metrics: q.Metrics & model.AllMetrics, step: q.Step, agg: q.Agg,
	}
	if q.Metrics == 0 {
		c.metrics = model.AllMetrics
	}
	return c
}

// all tells whether all of the chunk is wanted.
func (w *choice) all(c *chunk.Chunk) bool {
	return w.container == "" && !w.noOwn && w.metrics == model.AllMetrics && w.step == 0 &&
		c.Block >= w.from && c.Block+model.BlockSeconds-1 <= w.to
}

// meet notes that there is a chunk.
func (w *choice) meet(c *chunk.Chunk) {
	if !w.met {
		w.header, w.met = c.Header, true
	}
}

// wants tells whether a row is wanted, apart from noOwn.
func (w *choice) wants(c *chunk.Chunk, row *chunk.Row) bool {
	if w.container != "" {
		if row.Name != w.container {
			return false
		}
		if !w.has {
			w.header, w.slot, w.has = c.Header, row.Slot, true
		}
	}
	return row.Slot >= w.from && row.Slot <= w.to && row.Present()&uint32(w.metrics) != 0
}

// trace is a chunk without values that tells whether the container is known,
// if the question is about one and there are chunks at all.
func (w *choice) trace() []byte {
	if w.container == "" || !w.met {
		return nil
	}
	b := chunk.NewBuilder(w.header)
	if w.has {
		// The sample's slot is one of the chunk's: this cannot fail.
		_ = b.Append(w.slot, []model.Sample{{Name: w.container}})
	}
	return b.AppendChunk(nil)
}
