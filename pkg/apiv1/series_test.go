package apiv1

import (
	"math"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func seriesOf(metric model.Metric, kv ...uint64) *series {
	s := new(series)
	for i := 0; i < len(kv); i += 2 {
		var v model.Values
		v.Set(metric, kv[i+1])
		s.add(int64(kv[i]), 0, &v, []model.Metric{metric})
	}
	s.finish()
	return s
}

func TestSeriesSortsAndKeepsTheLater(t *testing.T) {
	s := seriesOf(model.CPU, 30, 1, 45, 2, 15, 3, 30, 4, 0, 5)
	want := []uint64{0, 5, 15, 3, 30, 4, 45, 2}
	if len(s.points) != 4 {
		t.Fatalf("%d points", len(s.points))
	}
	for i, p := range s.points {
		if uint64(p.slot) != want[2*i] || s.values[p.at] != want[2*i+1] {
			t.Errorf("point %d: %d = %d", i, p.slot, s.values[p.at])
		}
	}
}

// Two pods of one name overlap for a slot when one is replaced: the younger's
// sample counts, whichever comes first.
func TestSeriesKeepsTheYounger(t *testing.T) {
	for _, order := range [][]int64{{100, 200}, {200, 100}} {
		s := new(series)
		for _, start := range order {
			var v model.Values
			v.Set(model.CPU, uint64(start))
			s.add(15, start, &v, []model.Metric{model.CPU})
		}
		s.finish()
		if len(s.points) != 1 || s.values[s.points[0].at] != 200 {
			t.Errorf("order %v: %v %v", order, s.points, s.values)
		}
	}
}

func TestAggregate(t *testing.T) {
	gauge := seriesOf(model.CPU, 60, 10, 75, 11, 105, 15, 180, math.MaxUint64, 195, math.MaxUint64-1)
	counter := seriesOf(model.CPUTotal, 60, 10, 75, 11, 105, 15, 180, 20)
	cases := map[string]struct {
		s      *series
		metric model.Metric
		how    aggregate
		want   []uint64
	}{
		"mean":            {gauge, model.CPU, mean, []uint64{60, 12, 180, math.MaxUint64}},
		"max":             {gauge, model.CPU, largest, []uint64{60, 15, 180, math.MaxUint64}},
		"min":             {gauge, model.CPU, smallest, []uint64{60, 10, 180, math.MaxUint64 - 1}},
		"last":            {gauge, model.CPU, last, []uint64{60, 15, 180, math.MaxUint64 - 1}},
		"mean of counter": {counter, model.CPUTotal, mean, []uint64{60, 15, 180, 20}},
		"min of counter":  {counter, model.CPUTotal, smallest, []uint64{60, 10, 180, 20}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var dst series
			c.s.aggregate(&dst, 60, c.how, []model.Metric{c.metric})
			if 2*len(dst.points) != len(c.want) {
				t.Fatalf("%d points", len(dst.points))
			}
			for i, p := range dst.points {
				if uint64(p.slot) != c.want[2*i] || dst.values[p.at] != c.want[2*i+1] {
					t.Errorf("%d = %d, want %v", p.slot, dst.values[p.at], c.want[2*i:2*i+2])
				}
			}
		})
	}
}

func TestMillicores(t *testing.T) {
	for nano, want := range map[uint64]uint64{
		0: 0, 499_999: 0, 500_000: 1, 1_499_999: 1, 1_500_000: 2, math.MaxUint64: 18446744073710,
	} {
		if got := shown(model.CPU, nano); got != want {
			t.Errorf("%d nanocores = %d millicores, want %d", nano, got, want)
		}
	}
}
