package series

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func seriesOf(metric model.Metric, kv ...uint64) *Series {
	s := new(Series)
	s.Reset("", []model.Metric{metric})
	for i := 0; i < len(kv); i += 2 {
		var v model.Values
		v.Set(metric, kv[i+1])
		s.Add(int64(kv[i]), 0, &v)
	}
	s.Finish()
	return s
}

// compare compares a series of one metric with slots and values.
func compare(t *testing.T, s *Series, want ...uint64) {
	t.Helper()
	var got []uint64
	for i, p := range s.Points() {
		got = append(got, uint64(p.Slot), s.Values(&s.Points()[i])[0])
	}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

func TestSeriesSortsAndKeepsTheLater(t *testing.T) {
	compare(t, seriesOf(model.CPU, 30, 1, 45, 2, 15, 3, 30, 4, 0, 5), 0, 5, 15, 3, 30, 4, 45, 2)
	compare(t, seriesOf(model.CPU, 30, 1, 30, 2), 30, 2)
}

// Two pods of one name overlap for a slot when one is replaced: the younger's
// sample counts, whichever comes first. One without any wanted metric does not.
func TestSeriesKeepsTheYounger(t *testing.T) {
	type sample struct {
		start int64
		cpu   uint64 // 0: has none
	}
	cases := map[string]struct {
		samples []sample
		want    uint64
	}{
		"younger last":             {[]sample{{100, 1}, {200, 2}}, 2},
		"younger first":            {[]sample{{200, 2}, {100, 1}}, 2},
		"younger last, has none":   {[]sample{{100, 1}, {200, 0}}, 1},
		"younger first, has none":  {[]sample{{200, 0}, {100, 1}}, 1},
		"of the same age":          {[]sample{{100, 1}, {100, 2}}, 2},
		"second of three":          {[]sample{{100, 1}, {300, 3}, {200, 2}}, 3},
		"apart":                    {[]sample{{100, 1}, {0, 0}, {300, 3}}, 3},
		"replaced by one that has": {[]sample{{300, 0}, {300, 4}, {200, 2}}, 4},
	}
	for name, c := range cases {
		for _, far := range []bool{false, true} {
			s := new(Series)
			s.Reset("", []model.Metric{model.CPU})
			var later model.Values
			later.Set(model.CPU, 9)
			for _, x := range c.samples {
				var v model.Values
				v.Set(model.RSS, 7)
				if x.cpu > 0 {
					v.Set(model.CPU, x.cpu)
				}
				if s.Add(15, x.start, &v); far {
					s.Add(30, 0, &later) // something in between
				}
			}
			s.Finish()
			t.Run(name, func(t *testing.T) {
				if far {
					compare(t, s, 15, c.want, 30, 9)
				} else {
					compare(t, s, 15, c.want)
				}
			})
		}
	}
}
