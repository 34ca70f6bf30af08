package snapshot

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// until sleeps until so long after the begin of the slot.
func until(slot int64, after time.Duration) { time.Sleep(time.Until(time.Unix(slot, 0).Add(after))) }

// TestAhead: while somebody wants to know, all nodes are asked before the next slot
// is shown, and nobody waits; whoever has asked sooner shows it no sooner.
func TestAhead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b")
		f.slow["b"] = time.Second
		s := f.eager(t)
		slot := s.Current(t.Context()).slot
		f.count()
		at := func(after time.Duration, rounds int, shown int64) {
			t.Helper()
			until(slot, after)
			synctest.Wait()
			began := time.Now()
			v := s.Current(t.Context())
			if waited := time.Since(began); waited != 0 || v.slot != slot+shown {
				t.Errorf("%v after the slot: waited %v for slot +%d, want +%d", after, waited, v.slot-slot, shown)
			}
			if got, asked := f.count(); got != rounds {
				t.Errorf("%v after the slot: %d rounds, want %d: %v", after, got, rounds, asked)
			}
		}
		at(23*time.Second, 0, 0)
		at(24*time.Second+time.Millisecond, 1, 0) // all are being asked
		at(25400*time.Millisecond, 0, 0)
		at(25500*time.Millisecond, 0, 15)
		f.change(func() { f.expected = []string{"a"} })
		at(39500*time.Millisecond, 1, 15) // of others than those who were expected
		at(40500*time.Millisecond, 0, 30)
		if v := s.Current(t.Context()); fmt.Sprint(v.expected) != "[a]" {
			t.Errorf("expected %v", v.expected)
		}

		// Nobody wants to know any more: asked once in vain, and then no more.
		until(slot, 300*time.Second)
		if rounds, _ := f.count(); rounds != 1 {
			t.Errorf("%d rounds, nobody wanted to know", rounds)
		}
		if v := s.current.Load(); v.slot != slot+45 || s.ahead.view != nil {
			t.Errorf("slot +%d is kept, and perhaps another one", v.slot-slot)
		}
		if v := s.Current(t.Context()); v.slot != model.Shown(time.Now(), resolution) {
			t.Errorf("slot %d", v.slot)
		}
	})
}

// TestAheadOfSlowNodes: a flight that is not over when its slot is shown is waited
// for, and no longer than that.
func TestAheadOfSlowNodes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b")
		s := f.eager(t)
		slot := s.Current(t.Context()).slot
		f.change(func() { f.slow["b"] = 3 * time.Second })
		until(slot, 25*time.Second) // a second after it began
		if v := s.Current(t.Context()); v.slot != slot || missing(v) != "" {
			t.Errorf("slot +%d, missing %s", v.slot-slot, missing(v))
		}
		until(slot, 26*time.Second)
		short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer stop()
		v := s.Current(short)
		expect(t, "missing, for who cannot wait", missing(v), "b stale 15")
		if v.slot != slot+15 {
			t.Errorf("slot +%d", v.slot-slot)
		}
		began := time.Now()
		v = s.Current(t.Context())
		expect(t, "missing", missing(v), "")
		if waited := time.Since(began); waited != 900*time.Millisecond || v.slot != slot+15 {
			t.Errorf("waited %v for slot +%d", waited, v.slot-slot)
		}
		until(slot, 39*time.Second+time.Second)
		s.Close() // while nodes are being asked
		until(slot, 100*time.Second)
	})
}

// TestClockSetBack: what was to be shown in an hour by a clock that was set back since
// is shown at once, as there would be nothing else for an hour.
func TestClockSetBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newFleet("a").open(t)
		s.Current(t.Context())
		s.mu.Lock()
		later := *s.current.Load()
		later.slot += 3600
		s.show(&later)
		s.mu.Unlock()
		nextSlot()
		if v := s.Current(t.Context()); v.slot != later.slot {
			t.Errorf("slot %d, want %d", v.slot, later.slot)
		}
		nextSlot()
		if v := s.Current(t.Context()); v.slot != model.Shown(time.Now(), resolution) {
			t.Errorf("slot %d after that", v.slot)
		}
	})
}
