package dashboard

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/series"
)

// Each slot is "cpu/memory" in millicores and bytes, "-" where there is none; the
// counter stands at 100 m at the beginning, and grows by as many as mean says for each
// slot. An empty text is a slot that was missed, "!" behind it a start anew.
func TestTrack(t *testing.T) {
	const slot0 = 3000
	for _, c := range []struct{ name, slots, want string }{
		{"all there", "5/50 6/60 7/70", "5/50 6/60 7/70"},
		{"one missed", "5/50  7/70", "5/50 100/50 7/70"},
		{"two missed", "5/50   7/70", "5/50 100/50 100/50 7/70"},
		{"three missed", "5/50    7/70", "5/50 -/- -/- -/- 7/70"},
		{"one after the other", "5/50  7/70  8/80", "5/50 100/50 7/70 100/70 8/80"},
		{"no cpu", "5/50 -/60 7/70", "5/50 100/60 7/70"},
		{"no memory", "5/50 6/- 7/70", "5/50 6/50 7/70"},
		{"no cpu at the beginning", "-/50 6/60", "-/50 6/60"},
		{"none at the end", "5/50 -/-", "5/50 -/-"},
		{"started anew", "5/50  7/70!", "5/50 -/50 7/70"},
		{"longer than is kept", "1/1 2/2 3/3 4/4 5/5 6/6 7/7 8/8", "3/3 4/4 5/5 6/6 7/7 8/8"},
		{"a gap longer than that", "1/1        9/9", "-/- -/- -/- -/- -/- 9/9"},
	} {
		track := newTrack("app", 6)
		var s series.Series
		s.Reset("app", columns)
		for i, text := range strings.Split(c.slots, " ") {
			if text == "" {
				continue
			}
			slot := int64(slot0 + 15*i)
			v := model.Values{}
			text, anew := strings.CutSuffix(text, "!")
			start := int64(1)
			if anew {
				start = slot
			}
			cpu, memory, _ := strings.Cut(text, "/")
			if cpu != "-" {
				milli, _ := strconv.ParseUint(cpu, 10, 64)
				v.Set(model.CPU, milli*1e6)
			}
			if memory != "-" {
				bytes, _ := strconv.ParseUint(memory, 10, 64)
				v.Set(model.WorkingSet, bytes)
			}
			v.Set(model.CPUTotal, uint64(slot)*100*1e6)
			v.Set(model.Measured, uint64(slot))
			s.Add(slot, start, &v)
		}
		points := s.Points()
		for range 2 { // what is known already changes nothing
			for i := range points {
				track.add(&points[i], s.Values(&points[i]), 15)
			}
		}
		var got []string
		text := func(v uint64) string {
			if v == none {
				return "-"
			}
			return fmt.Sprint(v)
		}
		n := min(len(strings.Split(c.slots, " ")), 6)
		for i := range n {
			slot := track.last - int64(15*(n-1-i))
			got = append(got, text(track.at(model.CPU, slot, 15))+"/"+text(track.at(model.WorkingSet, slot, 15)))
		}
		expect(t, c.name, strings.Join(got, " "), c.want)
		if v := track.at(model.CPU, track.last+15, 15); v != none {
			t.Errorf("%s: after the last it has %d", c.name, v)
		}
	}
}

// A mean needs a counter that was read twice, and grew.
func TestMean(t *testing.T) {
	before := sample{start: 1, total: 1e9, measured: 100, ok: true}
	for name, c := range map[string]struct {
		later sample
		mean  uint64
		ok    bool
	}{
		"half a core":       {sample{1, 16e9, 130, true}, 500, true},
		"idle":              {sample{1, 1e9, 130, true}, 0, true},
		"not read":          {sample{1, 16e9, 130, false}, 0, false},
		"another container": {sample{2, 16e9, 130, true}, 0, false},
		"smaller":           {sample{1, 1, 130, true}, 0, false},
		"the same sample":   {sample{1, 1e9, 100, true}, 0, false},
		"an older one":      {sample{1, 2e9, 90, true}, 0, false},
	} {
		if mean, ok := before.meanTo(&c.later); mean != c.mean || ok != c.ok {
			t.Errorf("%s: %d, %v", name, mean, ok)
		}
	}
}
