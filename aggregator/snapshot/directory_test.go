package snapshot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDirectory follows pods that start, end and move.
func TestDirectory(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b", "c")
		f.past["a"] = []string{"db/postgres-0", "jobs/done"}
		f.pods["b"] = append(f.pods["b"], "db/postgres-0")
		s := f.open(t)
		v := s.Current(t.Context())
		expect(t, "a pod that moved", candidates(v, "db", "postgres-0"), "a b")
		expect(t, "a pod that ended", candidates(v, "jobs", "done"), "a")
		expect(t, "a namespace", candidates(v, "shop", ""), "a b c")
		expect(t, "a pod that never was", candidates(v, "shop", "nobody"), "")
		expect(t, "a namespace that never was", candidates(v, "nobody", ""), "")
		expect(t, "pods of a namespace", pods(v, "db", "", ""), "db/postgres-0@b")

		// It moves on; the pod that has ended is forgotten with its samples.
		f.change(func() {
			f.past["a"] = nil
			f.pods["b"] = f.pods["b"][:1]
			f.pods["c"] = append(f.pods["c"], "db/postgres-0")
		})
		nextSlot()
		v = s.Current(t.Context())
		expect(t, "a pod that moved twice", candidates(v, "db", "postgres-0"), "a b c")
		expect(t, "pods of a namespace", pods(v, "db", "", ""), "db/postgres-0@c")
		for range 3 {
			time.Sleep(30 * time.Minute)
			v = s.Current(t.Context())
		}
		expect(t, "after the retention", candidates(v, "db", "postgres-0"), "c")
		expect(t, "a pod that ended, after the retention", candidates(v, "jobs", ""), "")
	})
}

// TestDirectoryOfFailingNodes: who cannot say what it has is asked, unless the
// pod is known to be elsewhere.
func TestDirectoryOfFailingNodes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b", "c")
		f.fault["c"] = errDown
		s := f.open(t)
		v := s.Current(t.Context())
		expect(t, "c has never said anything", candidates(v, "shop", "cart-a"), "a c")
		f.change(func() { delete(f.fault, "c"); f.fault["b"] = errDown })
		nextSlot()
		v = s.Current(t.Context())
		expect(t, "a pod that runs on a", candidates(v, "shop", "cart-a"), "a")
		expect(t, "a pod that nobody knows", candidates(v, "shop", "cart-x"), "b")
		expect(t, "a namespace", candidates(v, "jobs", ""), "b")
		expect(t, "a pod of a failing node", candidates(v, "shop", "cart-b"), "b")
		f.change(func() { delete(f.fault, "b"); f.part["b"] = true; f.pods["b"] = []string{"shop/new"} })
		nextSlot()
		v = s.Current(t.Context())
		expect(t, "missing", missing(v), "b stale 30")
		expect(t, "pods of a part, while there is a whole one", pods(v, "shop", "new", ""), "")
		nextSlot()
		s.Current(t.Context())
		for _, what := range []string{"pods of a part, when the whole one is too old", "pods of the next part"} {
			nextSlot()
			v = s.Current(t.Context())
			expect(t, "missing", missing(v), "b truncated 0")
			expect(t, what, pods(v, "shop", "new", ""), "shop/new@b")
		}
		expect(t, "what a part does not have", candidates(v, "shop", "cart-b"), "b")
	})
}

// TestFinding: who asks for a pod that ran a slot ago does not wait for all
// nodes, but has them asked; who asks for any other pod waits.
func TestFinding(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b", "c")
		s := f.open(t)
		find := func(pod string, slots, seconds int, want string) {
			t.Helper()
			s.Current(t.Context())
			synctest.Wait()
			for range slots {
				nextSlot()
			}
			f.count()
			began := time.Now()
			v := s.Finding(t.Context(), "shop", pod)
			expect(t, pod, candidates(v, "shop", pod), want)
			if waited := time.Since(began); waited != time.Duration(seconds)*time.Second {
				t.Errorf("%s after %d slots: waited %v, want %d s", pod, slots, waited, seconds)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if rounds, _ := f.count(); (rounds == 1) != (slots > 0) {
				t.Errorf("%s after %d slots: %d rounds", pod, slots, rounds)
			}
		}
		v := s.Finding(t.Context(), "shop", "cart-a")
		expect(t, "a pod, at the start", candidates(v, "shop", "cart-a"), "a")
		f.change(func() { f.slow["c"] = time.Second })
		find("cart-a", 0, 0, "a")
		find("cart-a", 1, 0, "a")
		find("cart-a", 2, 1, "a") // too long ago
		find("nobody", 1, 1, "")
		f.change(func() { f.pods["a"], f.pods["b"] = nil, append(f.pods["b"], "shop/cart-a") })
		find("cart-a", 1, 0, "a") // it has moved just now
		find("cart-a", 1, 0, "a b")
		f.change(func() { f.pods["b"] = f.pods["b"][:1] })
		find("cart-a", 1, 0, "a b")
		find("cart-a", 1, 1, "a b") // it runs no more: it may be anywhere

		s.Current(t.Context())
		nextSlot()
		f.change(func() { f.expected = []string{"a", "c"} })
		expect(t, "a pod of a node that is not expected any more", candidates(s.Finding(t.Context(), "shop", "cart-b"), "shop", "cart-b"), "")
	})
}

// TestRelist: now and then a node lists all of its pods again.
func TestRelist(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a")
		s := f.open(t)
		s.Current(t.Context())
		lists := 0
		for range 2*relistAfter/15 - 1 {
			f.count()
			nextSlot()
			s.Current(t.Context())
			if _, asked := f.count(); asked[0] == "a 0" {
				lists++
			}
		}
		if lists != 1 {
			t.Errorf("listed %d times in two hours less a slot, want once", lists)
		}
	})
}

// of is a chunk of a pod in a slot so many seconds later.
func of(pod string, later int64) func(int64) []byte {
	return func(slot int64) []byte { return rowOf(pod, slot+later) }
}

// TestUnlisted: a node that cannot read all names has its values, and counts as
// one that may have any pod.
func TestUnlisted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b")
		f.unlisted["b"] = "bad disk"
		s := f.open(t)
		lists := 0
		for range relistFailed / 15 * 2 {
			f.count()
			v := s.Current(t.Context())
			if _, asked := f.count(); slices.Contains(asked, "b 0") {
				lists++
			}
			expect(t, "missing", missing(v), "")
			expect(t, "pods", pods(v, "", "", ""), "shop/cart-a@a shop/cart-b@b")
			expect(t, "who may have it", candidates(v, "shop", "cart-a"), "a b")
			nextSlot()
		}
		if lists != 2 {
			t.Errorf("asked %d times for all names in %v", lists, 2*relistFailed*time.Second)
		}
		f.change(func() { delete(f.unlisted, "b") })
		for range relistFailed / 15 {
			s.Current(t.Context())
			nextSlot()
		}
		expect(t, "who may have it", candidates(s.Current(t.Context()), "shop", "cart-a"), "a")
	})
}

// TestManyNames: of a node that has had more pods than can be, no more are
// remembered; it may then have any.
func TestManyNames(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet("a", "b")
		s := f.open(t)
		for round := range 3 {
			var names []string
			for i := range maxPlaces * 2 / 3 {
				names = append(names, fmt.Sprintf("jobs/job-%d-%d", round, i))
			}
			f.change(func() { f.past["b"] = names })
			v := s.Current(t.Context())
			if places, _ := v.index.count(); places > maxPlaces+2 {
				t.Errorf("%d places", places)
			}
			expect(t, "missing", missing(v), "")
			nextSlot()
		}
		expect(t, "who may have it", candidates(s.Current(t.Context()), "jobs", "another"), "b")
		f.change(func() { f.past["b"] = make([]string, maxPlaces+1) })
		nextSlot()
		expect(t, "missing", missing(s.Current(t.Context())), "b stale 15")
	})
}

// TestLies: what a node says wrong costs its own values only.
func TestLies(t *testing.T) {
	cases := map[string]struct {
		forged  func(slot int64) []byte
		missing string
		pods    string
	}{
		"not a chunk":         {func(int64) []byte { return []byte("teapot") }, "b truncated 0", "shop/cart-a@a"},
		"the same pod twice":  {of("shop/cart-b", 0), "", "shop/cart-a@a shop/cart-b@b"},
		"out of order":        {of("a/first", 0), "", "a/first@b shop/cart-a@a shop/cart-b@b"},
		"another UID":         {of("shop/cart-b/uid-2", 0), "", "shop/cart-a@a shop/cart-b@b shop/cart-b@b"},
		"a pod of the future": {of("shop/x", 7200), "b truncated 0", "shop/cart-a@a"},
		"a pod of the past":   {of("shop/x", -7200), "b truncated 0", "shop/cart-a@a"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFleet("a", "b")
				f.forged["b"] = c.forged
				v := f.open(t).Current(t.Context())
				expect(t, "missing", missing(v), c.missing)
				expect(t, "pods", pods(v, "", "", ""), c.pods)
			})
		})
	}
	t.Run("a node of the future", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFleet("a", "b")
			f.late["b"] = -240 // an hour
			expect(t, "missing", missing(f.open(t).Current(t.Context())), "b truncated 0")
		})
	})
}

// TestIndexAtRandom compares the index with maps, over many random changes.
func TestIndexAtRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x, want := new(index), map[string]int64{}
	key := func(ns string, p place) string { return fmt.Sprintf("%s/%s@%d", ns, p.pod, p.node) }
	for round := range 300 {
		var changes []change
		for range r.IntN(20) {
			c := change{namespace: fmt.Sprint("ns-", r.IntN(5)), place: place{fmt.Sprint("pod-", r.IntN(10)), int32(r.IntN(4)), r.Int64N(3)}}
			changes = append(changes, c)
			want[key(c.namespace, c.place)] = c.gone
		}
		before := x
		had, _ := before.count()
		x = x.with(changes)
		if n, _ := before.count(); n != had {
			t.Fatal("an index has changed")
		}
		if round%10 == 9 {
			node := int32(r.IntN(4))
			x = x.without(func(p place) bool { return p.node == node })
			for k := range want {
				if strings.HasSuffix(k, fmt.Sprint("@", node)) {
					delete(want, k)
				}
			}
		}
		got, last := map[string]int64{}, ""
		for _, ns := range x.find("", "") {
			if len(ns.places) == 0 {
				t.Fatalf("namespace %s has no places", ns.name)
			}
			for _, p := range ns.places {
				k := key(ns.name, p)
				if k <= last {
					t.Fatalf("%s after %s", k, last)
				}
				got[k], last = p.gone, k
				found := x.find(ns.name, p.pod)
				if len(found) != 1 || !slices.ContainsFunc(found[0].places, func(q place) bool { return q == p }) {
					t.Fatalf("%s is not found", k)
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("round %d:\n%v\nwant\n%v", round, got, want)
		}
	}
}
