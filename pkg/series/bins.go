package series

import (
	"fmt"
	"math/bits"
	"slices"
	"sort"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Bins are the steps of one entity name. They take slots, and parts of steps
// that were made elsewhere, in any order; only where two values of one column
// are of the same slot does the last one depend on it: the later counts. Their
// memory is used again for the next one. They are not safe for concurrent use.
type Bins struct {
	name    string
	step    int64 // seconds
	metrics []model.Metric
	ways    []way // of each metric
	// bins are sorted; cells lie in the order in which they came, len(metrics)
	// a bin.
	bins  []bin
	cells []cell
	found int // where the last bin was
}

// bin is one step.
type bin struct {
	slot  int64 // the step's start, a multiple of the step in Unix seconds
	start int64 // of the youngest entity that is in it
	at    int   // where its cells begin
}

// cell is one column of a step: a sum of n values, or one value. n is 0 if the
// column is absent.
type cell struct {
	hi, lo uint64
	n      uint64 // of the last value: 1 + the seconds since the start of the step
}

// way is how a column is aggregated, as a number.
type way uint8

const (
	mean way = iota
	last
	largest
	smallest
)

func wayOf(a model.Aggregate) way {
	switch a {
	case model.Last:
		return last
	case model.Max:
		return largest
	case model.Min:
		return smallest
	}
	return mean
}

// Reset empties the bins for another entity. The metrics must not change
// meanwhile.
func (b *Bins) Reset(name string, step int64, agg model.Aggregate, metrics []model.Metric) {
	b.name, b.step, b.metrics = name, step, metrics
	b.bins, b.cells, b.ways, b.found = b.bins[:0], b.cells[:0], b.ways[:0], 0
	for _, m := range metrics {
		b.ways = append(b.ways, wayOf(agg.Of(m)))
	}
}

// Len is how many steps there are.
func (b *Bins) Len() int { return len(b.bins) }

// AddSeries adds all points of a series that has the same metrics.
func (b *Bins) AddSeries(s *Series) {
	for i := range s.points {
		p := &s.points[i]
		offset := mod(p.Slot, b.step)
		x := b.find(p.Slot - offset)
		x.start = max(x.start, p.start)
		cells, values := b.cells[x.at:], s.values[p.at:]
		for col, way := range b.ways {
			if p.Has&(1<<col) == 0 {
				continue
			}
			n := uint64(1)
			if way == last {
				n += uint64(offset)
			}
			cells[col].add(way, values[col], n)
		}
	}
}

// AddPart adds a part of a step, as [Binned] yields it. Errors wrap
// [chunk.ErrCorrupt].
func (b *Bins) AddPart(values *chunk.Row, weights *model.Values) error {
	if mod(values.Slot, b.step) != 0 {
		return fmt.Errorf("%w: %d is not the start of a step of %d s", chunk.ErrCorrupt, values.Slot, b.step)
	}
	var x *bin
	for col, m := range b.metrics {
		v, ok := values.Get(m)
		if !ok {
			continue
		}
		n, way := uint64(1), b.ways[col]
		if way == mean || way == last {
			// A mean has as many values as its step has seconds at most, and the
			// last one lies in the step: no sum of weights overflows.
			n, ok = weights.Get(m)
			if way == last {
				n++
			}
			if !ok || n == 0 || n > uint64(b.step) {
				return fmt.Errorf("%w: weight %d of %v in the step at %d", chunk.ErrCorrupt, n, m, values.Slot)
			}
		}
		if x == nil {
			x = b.find(values.Slot)
			x.start = max(x.start, values.Start)
		}
		b.cells[x.at+col].add(way, v, n)
	}
	return nil
}

// find returns the bin of a step, a new one if there is none.
func (b *Bins) find(slot int64) *bin {
	if b.found < len(b.bins) && b.bins[b.found].slot == slot {
		return &b.bins[b.found]
	}
	i := len(b.bins)
	if i > 0 && b.bins[i-1].slot >= slot {
		i = sort.Search(i, func(i int) bool { return b.bins[i].slot >= slot })
	}
	if b.found = i; i == len(b.bins) || b.bins[i].slot != slot {
		b.bins = slices.Insert(b.bins, i, bin{slot: slot, at: len(b.cells)})
		for range b.metrics {
			b.cells = append(b.cells, cell{})
		}
	}
	return &b.bins[i]
}

// add adds a value that counts for n, or that is n-1 seconds after the start of
// its step.
func (c *cell) add(way way, v, n uint64) {
	switch {
	case way == mean:
		var carry uint64
		c.lo, carry = bits.Add64(c.lo, v, 0)
		c.hi += carry
		c.n += n
	case c.n == 0, way == largest && v > c.lo, way == smallest && v < c.lo, way == last && n >= c.n:
		c.lo, c.n = v, n
	}
}

// value is what the column shows.
func (c *cell) value(way way) uint64 {
	if way != mean {
		return c.lo
	}
	lo, carry := bits.Add64(c.lo, c.n/2, 0) // rounds half up
	x, _ := bits.Div64(c.hi+carry, lo, c.n)
	return x
}

// Points writes the steps to dst, a point each.
func (b *Bins) Points(dst *Series) {
	dst.Reset(b.name, b.metrics)
	for i := range b.bins {
		x := &b.bins[i]
		p := Point{Slot: x.slot, start: x.start, at: len(dst.values)}
		for col, way := range b.ways {
			v := uint64(0)
			if c := &b.cells[x.at+col]; c.n > 0 {
				p.Has |= 1 << col
				v = c.value(way)
			}
			dst.values = append(dst.values, v)
		}
		dst.points = append(dst.points, p)
	}
}

// overflow tells whether a sum has more than 64 bits, and so cannot be a part.
func (b *Bins) overflow() bool {
	return slices.ContainsFunc(b.cells, func(c cell) bool { return c.hi > 0 })
}

// weighted tells whether parts need weights.
func (b *Bins) weighted() bool { return slices.Contains(b.ways, mean) || slices.Contains(b.ways, last) }

// part writes step i to v and w, as values and weights.
func (b *Bins) part(i int, v, w *model.Sample) {
	x := &b.bins[i]
	*v = model.Sample{Name: b.name, Start: x.start}
	*w = *v
	for col, m := range b.metrics {
		c := &b.cells[x.at+col]
		if c.n == 0 {
			continue
		}
		v.Set(m, c.lo)
		switch b.ways[col] {
		case mean:
			w.Set(m, c.n)
		case last:
			w.Set(m, c.n-1)
		}
	}
}

// mod is the remainder of x by y that is not negative.
func mod(x, y int64) int64 { return ((x % y) + y) % y }
