package snapshot

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// TestOneFlightASlot: all who ask in a slot share one question to the nodes,
// and nobody asking means nobody is asked.
func TestOneFlightASlot(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b")
		f.slow["b"] = time.Second
		s := f.open(t)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				v := s.Current(t.Context())
				expect(t, "pods", pods(v, "", "", ""), "shop/cart-a@a shop/cart-b@b")
			})
		}
		all.Wait()
		slot := s.Current(t.Context()).slot
		if want := model.Shown(time.Now(), resolution); slot != want {
			t.Errorf("slot %d, the last that was sampled is %d", slot, want)
		}
		if rounds, asked := f.count(); rounds != 1 || fmt.Sprint(asked) != "[a 0 b 0]" {
			t.Errorf("%d rounds, asked %v", rounds, asked)
		}
		for range 5 {
			nextSlot()
		}
		if rounds, _ := f.count(); rounds != 0 {
			t.Errorf("%d rounds, nobody wanted to know", rounds)
		}
		v := s.Current(t.Context())
		if _, asked := f.count(); v.slot != slot+5*15 || fmt.Sprint(asked) != fmt.Sprintf("[a %d b %d]", slot, slot) {
			t.Errorf("slot %d, asked %v", v.slot, asked)
		}
		if other := f.open(t).Current(t.Context()); v.Tag() != other.Tag() || !strings.HasPrefix(v.Tag(), fmt.Sprintf("%d-2-", v.slot)) {
			t.Errorf("tags %s and, of another process, %s", v.Tag(), other.Tag())
		}
	})
}

// TestStale follows a node that fails, and one whose kubelet does not answer:
// their values are shown for three slots, with their age, and then gone.
func TestStale(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b", "c")
		s := f.open(t)
		s.Current(t.Context())
		f.change(func() { f.fault["b"] = errDown })
		for i, want := range []string{
			"b stale 15, c stale 15", "b stale 30, c stale 30", "b stale 45, c stale 45", "b refused 0, c stale 60", "b refused 0, c stale 75",
		} {
			nextSlot()
			f.change(func() { f.late["c"]++ })
			v := s.Current(t.Context())
			expect(t, "missing", missing(v), want)
			shown := "shop/cart-a@a"
			if i < model.StaleSlots {
				shown += " shop/cart-b@b shop/cart-c@c"
			}
			expect(t, "pods", pods(v, "", "", ""), shown)
			if n := len(v.Nodes("")); (n == 3) != (i < model.StaleSlots) {
				t.Errorf("%d nodes after %d slots", n, i)
			}
			expect(t, "who may have it", candidates(v, "shop", "cart-b"), "b")
		}
		f.change(func() { delete(f.fault, "b"); f.late["c"] = 0 })
		nextSlot()
		v := s.Current(t.Context())
		expect(t, "missing", missing(v), "")
		expect(t, "pods", pods(v, "shop", "", "b"), "shop/cart-b@b")
	})
}

// TestRetry: within its slot a failed node is asked again, but nobody waits.
func TestRetry(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b")
		f.fault["b"] = errDown
		s := f.open(t)
		expect(t, "missing", missing(s.Current(t.Context())), "b refused 0")
		f.count()
		time.Sleep(retryAfter - time.Second)
		s.Current(t.Context())
		synctest.Wait()
		if rounds, _ := f.count(); rounds != 0 {
			t.Errorf("asked again %v after it failed", retryAfter-time.Second)
		}
		f.change(func() { delete(f.fault, "b"); f.slow["b"] = time.Second })
		time.Sleep(time.Second)
		began := time.Now()
		expect(t, "missing", missing(s.Current(t.Context())), "b refused 0")
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v for a node that had failed", waited)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		v := s.Current(t.Context())
		expect(t, "missing", missing(v), "")
		if rounds, asked := f.count(); rounds != 1 || fmt.Sprint(asked) != "[b 0]" {
			t.Errorf("%d rounds, asked %v", rounds, asked)
		}
	})
}

// TestLate: a node whose kubelet takes long for its answer has nothing of the slot
// yet. It is not asked again, as it does not tell what comes late, but where it has
// nothing else.
func TestLate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b")
		s := f.open(t)
		late := func() []bool { f.mu.Lock(); defer f.mu.Unlock(); return f.takesLate["b"] }
		s.Current(t.Context())
		nextSlot()
		f.change(func() { f.late["b"] = 1 })
		expect(t, "missing", missing(s.Current(t.Context())), "b stale 15")
		f.change(func() { f.late["b"] = 0 })
		time.Sleep(retryAfter)
		f.count()
		s.Current(t.Context())
		synctest.Wait()
		if rounds, _ := f.count(); rounds != 0 {
			t.Errorf("asked again %d times in the same slot", rounds)
		}
		expect(t, "takes late ones", fmt.Sprint(late()), "[true false]")
		f.change(func() { f.fault["b"] = errDown })
		for range 4 {
			nextSlot()
			s.Current(t.Context())
		}
		f.change(func() { delete(f.fault, "b") })
		nextSlot()
		s.Current(t.Context())
		expect(t, "takes late ones", fmt.Sprint(late()), "[true false true]")
	})
}

// TestImpatient: who cannot wait gets what has come, and the flight goes on.
func TestImpatient(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b")
		f.slow["b"] = 3 * time.Second
		s := f.open(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		v := s.Current(ctx)
		expect(t, "missing", missing(v), "b timeout 0")
		expect(t, "pods", pods(v, "", "", ""), "shop/cart-a@a")
		expect(t, "who may have it", candidates(v, "shop", "cart-x"), "b")
		v = s.Current(t.Context())
		expect(t, "missing", missing(v), "")
		if rounds, _ := f.count(); rounds != 1 {
			t.Errorf("%d rounds", rounds)
		}
		// A second view of the same slot is another answer.
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		nextSlot()
		if v := s.Current(ctx); v.Tag() == s.Current(t.Context()).Tag() {
			t.Errorf("tag %s of a part and of the whole", v.Tag())
		}
	})
}

// TestNodesComeAndGo: whoever is expected is asked at once, and of whoever is
// not nothing is left.
func TestNodesComeAndGo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b", "c")
		f.past["b"] = []string{"jobs/done"}
		s := f.open(t)
		s.Current(t.Context())
		f.count()
		f.change(func() { f.expected = []string{"a", "c", "d"}; f.pods["d"] = []string{"shop/cart-d"} })
		v := s.Current(t.Context())
		expect(t, "missing", missing(v), "")
		expect(t, "pods", pods(v, "", "", ""), "shop/cart-a@a shop/cart-c@c shop/cart-d@d")
		expect(t, "who has what was on a node that left", candidates(v, "jobs", ""), "")
		if _, asked := f.count(); fmt.Sprint(asked) != "[d 0]" {
			t.Errorf("asked %v", asked)
		}
		f.change(func() { f.expected = []string{"a", "b", "c", "d"} })
		v = s.Current(t.Context())
		expect(t, "pods", pods(v, "", "", ""), "shop/cart-a@a shop/cart-b@b shop/cart-c@c shop/cart-d@d")
		expect(t, "who has what was on a node that is back", candidates(v, "jobs", "done"), "b")
		f.change(func() { f.expected = nil })
		if v = s.Current(t.Context()); v.stats.places != 0 || len(v.Nodes("")) != 0 {
			t.Errorf("%d places, %d nodes of a fleet of nobody", v.stats.places, len(v.Nodes("")))
		}
		if c := v.Coverage(nil); !c.Complete() || c.Expected != 0 {
			t.Errorf("coverage %+v", c)
		}
	})
}

// TestClose ends a flight that hangs, and asks nobody any more.
func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a")
		f.slow["a"] = time.Hour
		s := f.open(t)
		done := make(chan *View)
		go func() { done <- s.Current(t.Context()) }()
		synctest.Wait()
		s.Close()
		expect(t, "missing", missing(<-done), "a canceled 0")
		nextSlot()
		s.Current(t.Context())
		if rounds, _ := f.count(); rounds != 1 {
			t.Errorf("%d rounds", rounds)
		}
	})
}
