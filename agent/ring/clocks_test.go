package ring_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	hour = 3600
	year = 365 * 24 * hour
)

// A leg is some slots that are measured one after the other, after the clock
// jumped and perhaps a restart.
type leg struct {
	jump       int64 // s
	slots      int
	resolution int64 // s; 0: as before, without a restart
}

// What was measured last is what is answered for the last 15 minutes, is the
// latest and the newest, whatever the clock did; what was measured before it
// is still there; all of it survives a restart.
func TestNothingRecentIsShadowed(t *testing.T) {
	for name, legs := range map[string][]leg{
		"forth by a second":               {{0, 70, 0}, {1, 70, 0}},
		"back by a second":                {{0, 70, 0}, {-1, 70, 0}},
		"back by a second, over and over": {{7, 20, 0}, {-1, 5, 0}, {-1, 5, 0}, {-14, 5, 0}, {-1, 5, 0}},
		"forth by an hour":                {{0, 70, 0}, {hour, 70, 0}},
		"back by an hour":                 {{0, 300, 0}, {-hour, 70, 0}},
		"back by an hour, twice":          {{0, 300, 0}, {-hour, 100, 0}, {-hour, 400, 0}},
		"forth by a year":                 {{0, 70, 0}, {year, 70, 0}},
		"forth by a year and back":        {{0, 70, 0}, {year, 70, 0}, {-year, 70, 0}},
		"forth by a year, back at once":   {{0, 70, 0}, {year, 1, 0}, {-year, 3, 0}},
		"back by a year and forth":        {{0, 70, 0}, {-year, 70, 0}, {year, 70, 0}},
		"a clock that was never set":      {{-base + 30, 10, 0}, {base, 70, 0}},
		"restarts in the future":          {{0, 70, 0}, {year, 10, 15}, {0, 10, 15}, {-year, 10, 15}, {0, 70, 15}},
		"coarser slots":                   {{0, 70, 0}, {0, 20, 60}},
		"finer slots":                     {{0, 70, 0}, {0, 100, 5}},
		"coarser in a block, and back":    {{0, 10, 0}, {3, 3, 60}, {3, 10, 15}},
		"coarser, which begins before":    {{0, 11, 0}, {0, 2, 180}, {-180, 8, 15}},
		"one slot a block":                {{0, 70, 0}, {0, 5, 900}, {0, 30, 15}},
		"coarser while it jumps back":     {{0, 300, 0}, {-hour, 10, 60}, {hour, 10, 60}},
		"suspended for hours":             {{0, 70, 0}, {5 * hour, 70, 0}},
		"suspended again and again":       {{0, 7, 0}, {2 * hour, 7, 0}, {8 * hour, 7, 0}, {hour, 7, 0}},
		"never the same":                  {{0, 3, 0}, {hour, 1, 0}, {-year, 2, 0}, {1, 1, 0}, {year, 2, 0}, {-hour, 4, 0}, {-30, 2, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClocked(t)
			for i, l := range legs {
				c.do(l)
				if err := c.checkRecent(l.slots); err != nil {
					t.Fatalf("leg %d: %v", i, err)
				}
			}
			c.restart(c.cfg.Resolution)
			if err := c.checkRecent(legs[len(legs)-1].slots); err != nil {
				t.Fatalf("after a restart: %v", err)
			}
		})
	}
}

// A clocked is a ring with its history and a clock that jumps.
type clocked struct {
	history
	t     *testing.T
	cfg   ring.Config
	ring  *ring.Ring
	clock int64
}

func newClocked(t *testing.T) *clocked {
	c := &clocked{history: history{retention: 24 * time.Hour}, t: t, clock: base + 7}
	c.cfg = ring.Config{Dir: "ring", FS: vfs.NewMem(), Resolution: 15 * time.Second, Retention: c.retention}
	c.ring = quiet(c.cfg)
	t.Cleanup(func() { _ = c.ring.Close() })
	return c
}

func (c *clocked) restart(resolution time.Duration) {
	c.t.Helper()
	if err := c.ring.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.cfg.Resolution = resolution
	c.ring = quiet(c.cfg)
}

func (c *clocked) do(l leg) {
	c.t.Helper()
	c.clock += l.jump
	if l.resolution > 0 {
		c.restart(seconds(l.resolution))
	}
	res := int64(c.cfg.Resolution / time.Second)
	for range l.slots {
		w := write{model.SlotOf(time.Unix(c.clock, 0), c.cfg.Resolution), res, numbered(len(c.writes))}
		if err := c.ring.Append(w.slot, w.scrape); err != nil {
			c.t.Fatal(err)
		}
		c.writes = append(c.writes, w)
		c.clock += res
	}
}

// numbered is a scrape whose every cpu is its number.
func numbered(n int) *model.Scrape {
	s := model.Sample{Start: base}
	s.Set(model.CPU, uint64(n))
	return &model.Scrape{Groups: []model.Group{
		{Samples: []model.Sample{s}},
		{Pod: model.PodRef{Namespace: "ns", Name: "p", UID: "u"}, Samples: []model.Sample{s}},
	}}
}

// checkRecent looks at the last leg, of n slots, by what the model knows, and
// plainly: the last 15 minutes are the numbers that were written last.
func (c *clocked) checkRecent(n int) error {
	if err := c.checkAll(c.ring); err != nil {
		return err
	}
	last := c.writes[len(c.writes)-1]
	slot, scrape, ok := c.ring.Latest()
	if s := c.ring.Status(); !ok || slot != last.slot || s.Newest != last.slot || scrape.Groups[0].Samples[0] != last.scrape.Groups[0].Samples[0] {
		return fmt.Errorf("latest %d (%v), newest %d; written last was %d", slot, ok, s.Newest, last.slot)
	}
	for _, pods := range []bool{false, true} {
		q := model.Query{Pods: pods, From: last.slot - 899, To: last.slot}
		if err := c.check(c.ring, q); err != nil {
			return err
		}
		got, err := answer(c.ring, q)
		if err != nil {
			return err
		}
		for i := len(c.writes) - n; i < len(c.writes); i++ {
			w := c.writes[i]
			if w.slot < q.From {
				continue
			}
			e := entity{slot: w.slot, start: base}
			if pods {
				e.pod = w.scrape.Groups[1].Pod
			}
			if v := got[e]; v != w.scrape.Groups[0].Samples[0].Values {
				return fmt.Errorf("slot %d of the last 15 min is %v, want number %d", w.slot, v, i)
			}
		}
	}
	return nil
}

// What lies in the future is no reason to keep it for a year: it expires as
// everything does, when enough was measured after it.
func TestTheFutureExpires(t *testing.T) {
	c := newClocked(t)
	c.restart(time.Minute)
	c.do(leg{0, 30, 0})
	c.do(leg{year, 30, 0})
	future := model.Query{From: c.clock - hour, To: c.clock + hour}
	c.do(leg{-year, 24 * 60, 0})
	if got, err := answer(c.ring, future); err != nil || len(got) > 0 && len(got) < 30 {
		t.Fatalf("%d slots of the future, %v", len(got), err)
	}
	c.do(leg{0, 3 * 60, 0})
	if got, err := answer(c.ring, future); err != nil || len(got) > 0 {
		t.Fatalf("%d slots of the future are left after more than the retention; %v", len(got), err)
	}
	if err := c.checkRecent(24 * 60); err != nil {
		t.Fatal(err)
	}
}

// Each slot of a block that was not measured is told, and why if that is
// known; of the time between blocks their times tell.
func TestGapsAreTold(t *testing.T) {
	const unknown = "" // the wording is the ring's
	gap := func(from, to int64, why string) ring.Gap { return ring.Gap{From: base + from, To: base + to, Why: why} }
	for name, c := range map[string]struct {
		do   func(c *clocked)
		want []ring.Gap
	}{
		"none": {func(c *clocked) { c.do(leg{0, 130, 0}) }, nil},
		"suspended for three hours": {
			func(c *clocked) { c.do(leg{0, 10, 0}); c.do(leg{3*hour + 60, 60, 0}) },
			[]ring.Gap{gap(150, 885, unknown), gap(3*hour, 3*hour+195, unknown)},
		},
		"suspended within a block": {
			func(c *clocked) { c.do(leg{0, 10, 0}); c.do(leg{300, 10, 0}) },
			[]ring.Gap{gap(150, 435, unknown)},
		},
		"forth by 15 s": {
			func(c *clocked) { c.do(leg{0, 10, 0}); c.do(leg{15, 10, 0}) },
			[]ring.Gap{gap(150, 150, unknown)},
		},
		"not measured, then suspended": {
			func(c *clocked) {
				c.do(leg{0, 10, 0})
				c.ring.Miss(base+150, "kubelet: timeout")
				c.do(leg{150, 10, 0})
			},
			[]ring.Gap{gap(150, 150, "kubelet: timeout"), gap(165, 285, unknown)},
		},
		"not measured since the block began": {
			func(c *clocked) {
				c.do(leg{0, 60, 0})
				for slot := int64(900); slot < 990; slot += 15 {
					c.ring.Miss(base+slot, "kubelet: timeout")
				}
				c.do(leg{90, 10, 0})
			},
			[]ring.Gap{gap(900, 975, "kubelet: timeout")},
		},
		"restarted": {
			func(c *clocked) { c.do(leg{0, 10, 0}); c.do(leg{60, 60, 15}) },
			[]ring.Gap{gap(150, 195, unknown)},
		},
		// The block before ends with a gap; the future's has one at its start.
		"forth by a year": {
			func(c *clocked) { c.do(leg{0, 55, 0}); c.do(leg{year, 5, 0}) },
			[]ring.Gap{gap(825, 885, unknown), gap(year/900*900, year+55*15-15, unknown)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			clocked := newClocked(t)
			c.do(clocked)
			s := clocked.ring.Status()
			var got []ring.Gap
			for _, b := range infos(&s) {
				for _, g := range b.Gaps {
					if g.Why == "" {
						t.Errorf("gap %+v: nothing is said", g)
					}
					got = append(got, g)
				}
			}
			if !slices.EqualFunc(got, c.want, func(g, w ring.Gap) bool {
				return g.From == w.From && g.To == w.To && (w.Why == unknown || g.Why == w.Why)
			}) {
				t.Errorf("gaps %+v\nwant %+v", got, c.want)
			}
		})
	}
}
