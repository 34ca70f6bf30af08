package series

import (
	"errors"
	"math"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func TestBins(t *testing.T) {
	gauge := seriesOf(model.CPU, 60, 10, 75, 11, 105, 15, 180, math.MaxUint64, 195, math.MaxUint64-1)
	counter := seriesOf(model.CPUTotal, 60, 10, 75, 11, 105, 15, 180, 20)
	cases := map[string]struct {
		s    *Series
		how  model.Aggregate
		want []uint64
	}{
		"mean":            {gauge, model.Mean, []uint64{60, 12, 180, math.MaxUint64}},
		"max":             {gauge, model.Max, []uint64{60, 15, 180, math.MaxUint64}},
		"min":             {gauge, model.Min, []uint64{60, 10, 180, math.MaxUint64 - 1}},
		"last":            {gauge, model.Last, []uint64{60, 15, 180, math.MaxUint64 - 1}},
		"mean of counter": {counter, model.Mean, []uint64{60, 15, 180, 20}},
		"min of counter":  {counter, model.Min, []uint64{60, 10, 180, 20}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var b Bins
			b.Reset("", 60, c.how, c.s.metrics)
			b.AddSeries(c.s)
			var dst Series
			b.Points(&dst)
			compare(t, &dst, c.want...)
			if b.overflow() != (name == "mean") {
				t.Errorf("overflow: %v", b.overflow())
			}
		})
	}
}

// Parts come from other machines: what cannot be is refused, and never a panic.
func TestBinsRefuse(t *testing.T) {
	row := func(slot int64, cpu uint64) *chunk.Row {
		s := new(model.Sample)
		s.Set(model.CPU, cpu)
		return &chunk.Row{Slot: slot, Sample: s}
	}
	weight := func(m model.Metric, n uint64) *model.Values {
		v := new(model.Values)
		v.Set(m, n)
		return v
	}
	cases := map[string]struct {
		how    model.Aggregate
		row    *chunk.Row
		weight *model.Values
		ok     bool
	}{
		"mean":                     {model.Mean, row(60, 1), weight(model.CPU, 60), true},
		"mean of nothing":          {model.Mean, row(60, 1), weight(model.CPU, 0), false},
		"mean of too much":         {model.Mean, row(60, 1), weight(model.CPU, 61), false},
		"mean of very much":        {model.Mean, row(60, 1), weight(model.CPU, math.MaxUint64), false},
		"mean, another's weight":   {model.Mean, row(60, 1), weight(model.RSS, 1), false},
		"last":                     {model.Last, row(60, 1), weight(model.CPU, 59), true},
		"last, in the next step":   {model.Last, row(60, 1), weight(model.CPU, 60), false},
		"last, never":              {model.Last, row(60, 1), weight(model.CPU, math.MaxUint64), false},
		"last without weight":      {model.Last, row(60, 1), &model.Values{}, false},
		"max":                      {model.Max, row(60, 1), &model.Values{}, true},
		"max within a step":        {model.Max, row(75, 1), &model.Values{}, false},
		"min before 1970":          {model.Min, row(-60, 1), &model.Values{}, true},
		"min within a step before": {model.Min, row(-45, 1), &model.Values{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var b Bins
			b.Reset("", 60, c.how, []model.Metric{model.CPU})
			err := b.AddPart(c.row, c.weight)
			if (err == nil) != c.ok || (err != nil && !errors.Is(err, chunk.ErrCorrupt)) {
				t.Errorf("error %v", err)
			}
			var dst Series
			if b.Points(&dst); (dst.Len() == 1) != c.ok {
				t.Errorf("%d points", dst.Len())
			}
		})
	}
}

// Any number of parts, each as large as it can be, have a mean.
func TestBinsLargestParts(t *testing.T) {
	var b Bins
	b.Reset("", 60, model.Mean, []model.Metric{model.CPU})
	s := new(model.Sample)
	s.Set(model.CPU, math.MaxUint64)
	var one model.Values
	one.Set(model.CPU, 1)
	for range 1000 {
		if err := b.AddPart(&chunk.Row{Slot: 60, Sample: s}, &one); err != nil {
			t.Fatal(err)
		}
	}
	var dst Series
	b.Points(&dst)
	compare(t, &dst, 60, math.MaxUint64)
}

// Of two values of the same last slot, of two nodes, the later one counts,
// whether it comes as a slot or as a part.
func TestBinsKeepTheLater(t *testing.T) {
	row := &chunk.Row{Slot: 60, Sample: new(model.Sample)}
	row.Set(model.CPU, 3)
	var offset model.Values
	offset.Set(model.CPU, 45)
	part := func(b *Bins) {
		if err := b.AddPart(row, &offset); err != nil {
			t.Fatal(err)
		}
	}
	slots := func(b *Bins) { b.AddSeries(seriesOf(model.CPU, 60, 1, 105, 2)) }
	for want, order := range map[uint64][]func(*Bins){2: {part, slots}, 3: {slots, part}} {
		var b Bins
		b.Reset("", 60, model.Last, []model.Metric{model.CPU})
		for _, add := range order {
			add(&b)
		}
		var dst Series
		b.Points(&dst)
		compare(t, &dst, 60, want)
	}
}
