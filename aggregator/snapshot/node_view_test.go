package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func holders(v *View, from int64, pods ...string) string {
	nodes := v.Holders("shop", pods, from)
	slices.Sort(nodes)
	return strings.Join(nodes, " ")
}

// TestHolders: pods that have moved have a history elsewhere, until it is too old.
func TestHolders(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b", "c")
		s := f.open(t)
		v := s.Current(t.Context())
		first := v.Slot()
		expect(t, "two pods", holders(v, 0, "cart-c", "cart-a", "cart-a", "nobody"), "a c")
		expect(t, "nobody", holders(v, 0, "nobody"), "")
		expect(t, "nothing", holders(v, 0), "")
		f.change(func() { f.pods["a"], f.pods["b"] = nil, append([]string{"shop/cart-a"}, f.pods["b"]...) })
		nextSlot()
		v = s.Current(t.Context())
		expect(t, "one that moved", holders(v, first, "cart-a"), "a b")
		expect(t, "and later", holders(v, v.Slot(), "cart-a"), "b")
		f.change(func() { f.expected = append(f.expected, "d"); f.fault["d"] = errDown })
		nextSlot()
		expect(t, "one of which nothing is known", holders(s.Current(t.Context()), 0, "cart-c"), "c d")
	})
}

// TestNewest: what a node has told of the slot, or whether it will.
func TestNewest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b", "c", "d")
		f.late["b"], f.late["c"], f.slow["d"] = 1, 9, time.Second
		s := f.open(t)
		see := func(v *View, name string) string {
			n, ok := v.On(name)
			if !ok {
				return "unknown"
			}
			slot, answered := n.Newest()
			if slot != 0 {
				slot = (v.Slot() - slot) / 15
			} else {
				slot = -1
			}
			return fmt.Sprint(slot, " ", answered, " ", n.Pending())
		}
		limited, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("enough"))
		defer cancel()
		v := s.Current(limited)
		expect(t, "d, which is asked", see(v, "d"), "-1 false true")
		synctest.Wait()
		time.Sleep(time.Second)
		v = s.Current(t.Context())
		expect(t, "a", see(v, "a"), "0 true false")
		expect(t, "b, which is late", see(v, "b"), "1 true false")
		expect(t, "c, whose samples are too old", see(v, "c"), "-1 true false")
		expect(t, "d", see(v, "d"), "0 true false")
		expect(t, "another one", see(v, "e"), "unknown")
		f.change(func() { f.fault["a"], f.fault["b"], f.part["b"], f.late["b"] = errDown, errDown, true, 0 })
		nextSlot()
		v = s.Current(t.Context())
		expect(t, "a, which fails", see(v, "a"), "1 false false")
		expect(t, "b, of which a part is here", see(v, "b"), "2 false false")
	})
}

// TestIn: the pods of a namespace, whichever others there are.
func TestIn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a")
		f.pods["a"] = []string{"p/x", "q/a", "q/a/another-uid", "q/b", "qq/a"}
		v := f.open(t).Current(t.Context())
		n, _ := v.On("a")
		for namespace, want := range map[string]int{"p": 1, "q": 3, "qq": 1, "": 0, "o": 0, "pp": 0, "r": 0} {
			if got := len(n.In(namespace)); got != want {
				t.Errorf("namespace %q: %d chunks, want %d", namespace, got, want)
			}
		}
	})
}
