package sampler_test

import (
	"context"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// start is a block's start, in Unix seconds.
const start = 1795230000

// A node is a kubelet, whose clock jumps, a sampler and a real ring. The
// kubelet measures every 10 s, by the same clock, and answers with the last
// measurement.
type node struct {
	t        *testing.T
	clock    int64
	measured int64 // by the clock
	total    uint64
	sampler  *sampler.Sampler
	ring     *ring.Ring
	reg      *prometheus.Registry
	stored   []int64
}

func newNode(t *testing.T) *node {
	n := &node{t: t, clock: start + 3, measured: start, reg: prometheus.NewRegistry()}
	n.ring = ring.Open(ring.Config{
		Dir: "ring", FS: vfs.NewMem(), Resolution: 15 * time.Second, Retention: 24 * time.Hour,
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	t.Cleanup(func() { _ = n.ring.Close() })
	n.restart()
	return n
}

// restart starts the sampler anew, on the same ring.
func (n *node) restart() {
	n.reg = prometheus.NewRegistry()
	n.sampler = sampler.New(sampler.Config{Node: "node-1", Resolution: 15 * time.Second}, n, n.ring, slog.New(slog.DiscardHandler), n.reg)
}

// Reuse implements [sampler.Kubelet].
func (*node) Reuse([]byte) {}

// Fetch implements [sampler.Kubelet].
func (n *node) Fetch(_ context.Context, form kubelet.Form) (kubelet.Answer, error) {
	s := model.Sample{Start: start - 1000}
	s.Set(model.Measured, uint64(n.measured))
	s.Set(model.CPU, 5e6)
	s.Set(model.CPUTotal, n.total)
	return kubelet.Answer{Form: form, Status: 200, Scrape: model.Scrape{Groups: []model.Group{{Samples: []model.Sample{s}}}}}, nil
}

// sample samples so many slots; before each the kubelet measures, unless it
// has stopped.
func (n *node) sample(slots int, measures bool) (failed int) {
	for range slots {
		n.clock += 15
		if measures {
			n.measured = n.clock - 4
			n.total += 1e9
		}
		slot := model.SlotOf(time.Unix(n.clock, 0), 15*time.Second)
		if err := n.sampler.Sample(n.t.Context(), slot); err != nil {
			failed++
			continue
		}
		n.stored = append(n.stored, slot)
	}
	return failed
}

// counted is a counter's value.
func (n *node) counted(name string) float64 {
	n.t.Helper()
	families, err := n.reg.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	n.t.Fatalf("no metric %s", name)
	return 0
}

// slots are those in the ring, with the time of their measurement.
func (n *node) slots() map[int64]int64 {
	n.t.Helper()
	got := map[int64]int64{}
	var d chunk.Decoder
	for b, err := range n.ring.Chunks(n.t.Context(), model.Query{From: -1 << 40, To: 1 << 40}) {
		if err != nil {
			n.t.Fatal(err)
		}
		c, err := chunk.Parse(b)
		if err != nil {
			n.t.Fatal(err)
		}
		for d.Reset(c); d.Next(); {
			at, _ := d.Row().Get(model.Measured)
			got[d.Row().Slot] = int64(at)
		}
	}
	return got
}

// checkStored: all that was stored is in the ring, and what was measured last
// is the answer for the newest slot.
func (n *node) checkStored() {
	n.t.Helper()
	got := n.slots()
	for _, slot := range n.stored {
		if _, ok := got[slot]; !ok {
			n.t.Errorf("slot %d is not in the ring", slot)
		}
	}
	last := n.stored[len(n.stored)-1]
	if latest, _, _ := n.ring.Latest(); latest != last || got[last] != n.measured {
		n.t.Errorf("latest slot %d, measured %d; want %d, %d", latest, got[last], last, n.measured)
	}
}

// The clock jumps while the kubelet still has its measurement from before: one
// that seems hours old, or of the future, is left out and counted, the slot is told as a gap, and
// the next measurement is as good as ever.
func TestClockJumpsWhileTheKubeletMeasures(t *testing.T) {
	for name, c := range map[string]struct {
		jump    int64
		dropped float64
	}{
		"forth by a second":  {1, 0},
		"back by a second":   {-1, 0},
		"forth by a minute":  {60, 0},
		"forth by an hour":   {3600, 1},
		"back by an hour":    {-3600, 1},
		"forth by a year":    {365 * 86400, 1},
		"back by a year":     {-365 * 86400, 1},
		"back to the epoch":  {-start, 1},
		"before the epoch":   {-start - 3600, 1},
		"forth by a century": {100 * 365 * 86400, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.sample(20, true)
			n.clock += c.jump
			failed := n.sample(1, false)
			if got := n.counted("rollcall_kubelet_old_samples_total"); got != c.dropped || failed != int(c.dropped) {
				t.Errorf("%v samples were left out as old, %d slots failed, want %v", got, failed, c.dropped)
			}
			if failed > 0 && (n.sampler.Status().Err == nil || !strings.Contains(n.sampler.Status().Err.Error(), "minutes old")) {
				t.Errorf("status says %v", n.sampler.Status().Err)
			}
			if failed := n.sample(20, true); failed > 0 || n.sampler.Status().Err != nil {
				t.Errorf("%d slots failed after the jump: %v", failed, n.sampler.Status().Err)
			}
			n.checkStored()
		})
	}
}

// Forth and back again: the hour that was measured twice has the later
// measurement, and the sampler does not wait until the clock is where it was.
func TestClockJumpsForthAndBack(t *testing.T) {
	for name, jump := range map[string]int64{"hour": 3600, "year": 365 * 86400} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.sample(20, true)
			n.clock += jump
			n.sample(20, true)
			n.restart() // the ring's latest slot is in the future
			n.clock -= jump
			if failed := n.sample(20, true); failed > 0 {
				t.Errorf("%d slots failed", failed)
			}
			n.checkStored()
		})
	}
}

// The same hour a second time: of each slot the later measurement counts.
func TestClockJumpsBackIntoWhatWasMeasured(t *testing.T) {
	n := newNode(t)
	n.sample(300, true)
	n.clock -= 3600
	n.sample(100, true)
	got := n.slots()
	for _, slot := range n.stored[300:] {
		// The clock's offset to the slot may differ, not the measurement.
		if at := got[slot]; at < slot-15 || at > slot+15 {
			t.Errorf("slot %d was measured at %d", slot, at)
		}
	}
	n.checkStored()
}

// Suspended for hours, as far as a bubble can tell: nothing runs, then time has
// passed. The slot that it wakes up in is sampled at once, on the same grid,
// and what was measured before is not taken for new.
func TestResumeAfterSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &slotList{}
		k := fetch(func(form kubelet.Form) kubelet.Answer {
			s := model.Sample{Start: 1000}
			s.Set(model.Measured, uint64(time.Now().Unix()))
			s.Set(model.CPU, 0)
			// 1 ms of CPU time a second: 0 once rounded to millicores is not.
			s.Set(model.CPUTotal, uint64(time.Now().Unix())*1e6)
			return kubelet.Answer{Form: form, Status: 200, Scrape: model.Scrape{Groups: []model.Group{{Samples: []model.Sample{s}}}}}
		})
		s := sampler.New(sampler.Config{Node: "node-1", Resolution: 15 * time.Second}, k, r, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		run := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			s.Run(ctx)
		}
		run(5 * time.Minute)
		before := len(r.slots)
		time.Sleep(3*time.Hour + 7*time.Second)
		resumed := model.SlotOf(time.Now(), 15*time.Second)
		run(5 * time.Minute)
		if r.slots[before] != resumed {
			t.Errorf("first slot after it resumed is %d, want %d", r.slots[before], resumed)
		}
		for i, slot := range r.slots {
			if slot%15 != 0 || i > 0 && i != before && slot != r.slots[i-1]+15 {
				t.Errorf("slot %d after %d", slot, r.slots[i-1])
			}
		}
		// The counter moved all the time, so a cpu of 0 is doubted, before and after.
		if r.last.Groups[0].Samples[0].Has(model.CPU) {
			t.Error("a cpu of 0 that three hours of CPU time contradict was believed")
		}
	})
}

// fetch is a kubelet.
type fetch func(form kubelet.Form) kubelet.Answer

// Reuse implements [sampler.Kubelet].
func (fetch) Reuse([]byte) {}

// Fetch implements [sampler.Kubelet].
func (f fetch) Fetch(_ context.Context, form kubelet.Form) (kubelet.Answer, error) {
	return f(form), nil
}

// slotList is a ring that lists slots. (A real one has timers of its own.)
type slotList struct {
	slots []int64
	last  model.Scrape
}

func (l *slotList) Append(slot int64, s *model.Scrape) error {
	l.slots, l.last = append(l.slots, slot), *s
	return nil
}
func (l *slotList) Miss(int64, string) {}
func (l *slotList) Empty() bool        { return len(l.slots) == 0 }
func (l *slotList) Latest() (int64, model.Scrape, bool) {
	return 0, model.Scrape{}, false
}

func (l *slotList) Chunks(context.Context, model.Query) iter.Seq2[[]byte, error] {
	return func(func([]byte, error) bool) {}
}
