package dashboard

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// shop is a namespace whose pods are on two nodes: cart on n1 with two containers,
// desk on n2. Its third node has other things.
func shop(node string, slot int64) []model.Group {
	own := model.Group{Samples: []model.Sample{sampleOf("", slot, 1000, 8000)}}
	switch node {
	case "n1":
		return []model.Group{own, podOf("shop", "cart", sampleOf("app", slot, 30, 500), sampleOf("log", slot, 4, 60))}
	case "n2":
		return []model.Group{own, podOf("other", "x", sampleOf("app", slot, 1, 1)), podOf("shop", "desk", sampleOf("app", slot, 7, 70))}
	}
	return []model.Group{own}
}

const cartAndDesk = "namespaces/shop/pod-list/cart,desk/metrics/cpu/usage_rate"

func TestAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		h := f.open(t, Config{Window: 30 * time.Second, Namespaces: []string{"shop"}})
		get := func(path string) string {
			rec := httptest.NewRecorder()
			r := httptest.NewRequest("GET", Prefix+path, nil)
			r.Header.Set("Accept", "application/vnd.kubernetes.protobuf, */*")
			h.ServeHTTP(rec, r)
			if rec.Code != 200 || rec.Header().Get("Retry-After") != "" {
				t.Errorf("%s: %d %v", path, rec.Code, rec.Header())
			}
			return rec.Body.String()
		}
		slot := func(before int64) string {
			return time.Unix(model.Shown(time.Now(), resolution)-15*before, 0).UTC().Format("2006-01-02T15:04:05Z")
		}
		item := func(name, metric string, value int) string {
			return fmt.Sprintf(`{"dataPoints":[],"metricPoints":[{"timestamp":"%s","value":%d},{"timestamp":"%s","value":%d}],"metricName":"%s","uids":["%s"]}`,
				slot(1), value, slot(0), value, metric, name)
		}
		const none = `{"items":null}` + "\n"
		for path, want := range map[string]string{
			cartAndDesk: `{"items":[` + item("cart", "cpu", 34) + "," + item("desk", "cpu", 7) + "]}\n",
			"namespaces/shop/pod-list/desk,nobody,,cart,desk/metrics/memory/usage?timeout=32s": `{"items":[` + item("desk", "memory", 70) + "," + item("cart", "memory", 560) + "]}\n",
			"namespaces/shop/pod-list/cart/metrics/what%22ever/x":                              `{"items":[` + item("cart", `what\"ever`, 560) + "]}\n",
			"nodes/n1/metrics/cpu/usage_rate":                                                  `{"items":[` + item("n1", "cpu", 1000) + "]}\n",
			"nodes/n3,n2,n4/metrics/memory/usage":                                              `{"items":[` + item("n3", "memory", 8000) + "," + item("n2", "memory", 8000) + "]}\n",
			"nodes/n4/metrics/cpu/usage_rate":                                                  none,
			"nodes//metrics/cpu/usage_rate":                                                    none,
			"namespaces/shop/pod-list/x/metrics/cpu/usage_rate":                                none, // of another namespace
			"namespaces/other/pod-list/x/metrics/cpu/usage_rate":                               none, // that is not served
			"namespaces/shop/pod-list//metrics/cpu/usage_rate":                                 none,
			"namespaces/shop/pod-list/,,/metrics/cpu/usage_rate":                               none,
			"namespaces/nil/pod-list/cart/metrics/cpu/x":                                       none,
		} {
			expect(t, path, get(path), want)
		}
	})
}

// Values of containers are added up as /api/v1 shows them.
func TestRounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newFleet(func(_ string, slot int64) []model.Group {
			a, b := sampleOf("a", slot, 0, 1), sampleOf("b", slot, 0, 1)
			a.Set(model.CPU, 1_500_000)
			b.Set(model.CPU, 2_499_999)
			return []model.Group{podOf("shop", "cart", a, b)}
		}, "n1").open(t, Config{})
		a, _ := ask(t, h, cartAndDesk)
		expect(t, "values", a.newest(), "cart 4")
	})
}

// Agents are asked for what is not known yet, once.
func TestKept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		h := f.open(t, Config{})
		const full = "cart: 60, 59..0; desk: 60, 59..0"
		see := func(what, asked string) {
			t.Helper()
			a, _ := ask(t, h, cartAndDesk)
			expect(t, what, a.series(), full)
			expect(t, what+": asked", strings.Join(f.questions(), ", "), asked)
		}
		see("at first", "n1: 66, n2: 66")
		see("again", "")
		if a, _ := ask(t, h, "namespaces/shop/pod-list/cart/metrics/memory/usage"); a.newest() != "cart 560" || len(f.questions()) > 0 {
			t.Errorf("memory: %s", a.newest())
		}
		for range 70 { // longer than the window
			nextSlot()
			see("a slot later", "")
		}
		nextSlot()
		nextSlot()
		see("two slots later", "n1: 2, n2: 2")
		time.Sleep(keepFor)
		_, _ = ask(t, h, "nodes/n3/metrics/cpu/x") // something else
		f.questions()
		see("after a while", "n1: 66, n2: 66")
	})
}

// Several who ask for the same wait for the same.
func TestShared(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		h := f.open(t, Config{})
		for range 20 {
			go func() {
				if a, _ := ask(t, h, cartAndDesk); len(a.Items) != 2 {
					t.Errorf("%d items", len(a.Items))
				}
			}()
		}
		synctest.Wait()
		expect(t, "asked", strings.Join(f.questions(), ", "), "n1: 66, n2: 66")
	})
}

// A newest slot that a node has not delivered is not told of any, until it has; a
// node that fails ends its own series, and nobody waits for it.
func TestLate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		h := f.open(t, Config{})
		see := func(what, want string, most time.Duration) {
			t.Helper()
			a, took := ask(t, h, cartAndDesk)
			expect(t, what, a.series(), want)
			if took > most {
				t.Errorf("%s: it took %v", what, took)
			}
		}
		see("at first", "cart: 60, 59..0; desk: 60, 59..0", 0)
		f.change(func() { f.late["n2"] = 1 })
		nextSlot()
		see("one is late", "cart: 60, 60..1; desk: 60, 60..1", 0)
		nextSlot()
		see("and stays so", "cart: 60, 60..1; desk: 60, 60..1", 0)
		f.change(func() { f.late["n2"] = 0 })
		nextSlot()
		see("no more", "cart: 60, 59..0; desk: 60, 59..0", 0)
		f.change(func() { f.late["n2"] = 2 })
		nextSlot()
		see("it stands still", "cart: 60, 60..1; desk: 60, 60..1", 0)
		nextSlot()
		nextSlot()
		see("for longer", "cart: 60, 59..0; desk: 58, 59..2", 0)
		f.change(func() { f.late["n2"], f.hangs["n2"] = 0, true })
		nextSlot()
		see("it hangs", "cart: 60, 59..0; desk: 57, 59..3", patience)
		see("and nobody waits", "cart: 60, 59..0; desk: 57, 59..3", 0)
		f.change(func() { delete(f.hangs, "n2") })
		for range 4 { // of which some are not asked, as it failed
			nextSlot()
			_, _ = ask(t, h, cartAndDesk)
			time.Sleep(10 * time.Second)
			_, _ = ask(t, h, cartAndDesk)
		}
		see("it is back", "cart: 60, 59..0; desk: 60, 59..0", 0)
	})
}

// An aggregator that knows nothing yet, and a node that never answers: the others are
// told in time.
func TestBlackHole(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		f.hangs["n2"] = true
		h := f.open(t, Config{})
		a, took := ask(t, h, cartAndDesk)
		// Whether n2 is late or fails is not known yet.
		expect(t, "at first", a.series(), "cart: 60, 60..1")
		if took > patience {
			t.Errorf("it took %v", took)
		}
		time.Sleep(2 * time.Second)
		a, took = ask(t, h, cartAndDesk)
		expect(t, "then", a.series(), "cart: 60, 59..0")
		if took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// A node that joins, and hangs, takes no slot back that was shown before.
func TestNewNode(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		h := f.open(t, Config{})
		a, _ := ask(t, h, cartAndDesk)
		expect(t, "before", a.series(), "cart: 60, 59..0; desk: 60, 59..0")
		f.change(func() {
			f.expected = append(f.expected, "n4")
			f.hangs["n4"] = true
		})
		a, took := ask(t, h, cartAndDesk)
		expect(t, "then", a.series(), "cart: 60, 59..0; desk: 60, 59..0")
		if took > viewPatience {
			t.Errorf("it took %v", took)
		}
	})
}

// An answer that takes long to be written waits less.
func TestManyNames(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		f.hangs["n2"] = true
		h := f.open(t, Config{})
		names := []string{"cart", "desk"}
		for i := range 4000 {
			names = append(names, fmt.Sprint("pod-", i))
		}
		a, took := ask(t, h, "namespaces/shop/pod-list/"+strings.Join(names, ",")+"/metrics/cpu/usage_rate")
		expect(t, "series", a.series(), "cart: 60, 60..1")
		if most := patience - time.Duration(len(names))*writeName; took < viewPatience || took > most {
			t.Errorf("it took %v, and may take %v", took, most)
		}
	})
}

// A pod that has moved is one item; where both nodes have it, the younger one counts.
func TestMoved(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		moved := model.Shown(time.Now(), resolution) - 150
		f := newFleet(func(node string, slot int64) []model.Group {
			old, young := sampleOf("app", slot, 10, 1), sampleOf("app", slot, 20, 2)
			young.Start = moved
			switch {
			case node == "n1" && slot >= moved:
				return []model.Group{podOf("shop", "db-0", young)}
			case node == "n2" && slot <= moved+30:
				return []model.Group{podOf("shop", "db-0", old)}
			}
			return []model.Group{{Samples: []model.Sample{sampleOf("", slot, 1, 1)}}}
		}, "n1", "n2")
		f.past["n2"] = []agents.PodName{{Namespace: "shop", Name: "db-0"}}
		a, _ := ask(t, f.open(t, Config{}), "namespaces/shop/pod-list/db-0/metrics/cpu/usage_rate")
		expect(t, "series", a.series(), "db-0: 60, 59..0")
		for _, p := range a.Items[0].MetricPoints {
			want := uint64(10)
			if p.Timestamp.Unix() >= moved {
				want = 20
			}
			if p.Value != want {
				t.Errorf("%v after the move it has %d, want %d", p.Timestamp.Unix()-moved, p.Value, want)
			}
		}
	})
}

// A history that cannot be read is asked for again, after a while.
func TestUnreadable(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		f.forged["n1"] = func([][]byte) [][]byte { return [][]byte{[]byte("what?")} }
		h := f.open(t, Config{})
		see := f.looker(t, h)
		see("at first", "desk: 60, 59..0", "n1: 66, n2: 66")
		see("again", "desk: 60, 59..0", "")
		f.change(func() { delete(f.forged, "n1") })
		time.Sleep(retryAfter)
		see("mended", "cart: 60, 59..0; desk: 60, 59..0", "n1: 66")
	})
}

// A newest value that cannot be read is asked for again, as a node's history.
func TestNewestUnreadable(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		h := f.open(t, Config{})
		see := f.looker(t, h)
		see("before", "cart: 60, 59..0; desk: 60, 59..0", "n1: 66, n2: 66")
		f.change(func() { f.torn["n1"] = true })
		nextSlot()
		see("torn", "cart: 60, 59..0; desk: 60, 59..0", "n1: 1")
		see("again", "cart: 60, 59..0; desk: 60, 59..0", "")
		f.change(func() { delete(f.torn, "n1") })
		nextSlot()
		see("mended", "cart: 60, 59..0; desk: 60, 59..0", "")
	})
}

// A part of a node's history is shown, and that it is a part is told until what is
// missing would not be shown any more.
func TestPartOfHistory(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		f.partly["n1"] = true
		h := f.open(t, Config{Window: 5 * time.Minute})
		look := f.looker(t, h)
		see := func(what, want, asked string, whole bool) {
			t.Helper()
			before := testutil.ToFloat64(h.metrics.complete)
			look(what, want, asked)
			if got := testutil.ToFloat64(h.metrics.complete) > before; got != whole {
				t.Errorf("%s: complete: %t", what, got)
			}
			if got := strings.Contains(h.text("/"), "n1: truncated: 3 chunks were lost\n"); got == whole {
				t.Errorf("%s: said why: %t", what, got)
			}
		}
		see("at first", "cart: 20, 19..0; desk: 20, 19..0", "n1: 26, n2: 26", false)
		f.change(func() { delete(f.partly, "n1") })
		nextSlot()
		see("it grows", "cart: 20, 19..0; desk: 20, 19..0", "", false)
		for range 26 {
			nextSlot()
			_, _ = ask(t, h, cartAndDesk)
		}
		see("long after", "cart: 20, 19..0; desk: 20, 19..0", "", true)
	})
}

// A node that cannot tell its history is named, with what it says.
func TestLackingHistory(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		f.forged["n1"] = func([][]byte) [][]byte { return nil }
		h := f.open(t, Config{})
		a, _ := ask(t, h, cartAndDesk)
		expect(t, "series", a.series(), "desk: 60, 59..0")
		if n := testutil.ToFloat64(h.metrics.partial); n != 1 {
			t.Errorf("%v answers lack something", n)
		}
		if text, want := h.text("/"), "\nHistory that is missing, of what was asked for in the last minutes:\n  n1: refused: it has forgotten everything\n"; !strings.Contains(text, want) {
			t.Errorf("without %q:\n%s", want, text)
		}
		f.change(func() { delete(f.forged, "n1") })
		time.Sleep(retryAfter)
		_, _ = ask(t, h, cartAndDesk)
		if text := h.text("/"); strings.Contains(text, "History") {
			t.Errorf("when it is back:\n%s", text)
		}
	})
}

// A day is asked for step by step, as it would be too much for one answer.
func TestLongWindow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		nextSlot()
		f := newFleet(shop, "n1", "n2", "n3")
		h := f.open(t, Config{Window: 24 * time.Hour})
		a, _ := ask(t, h, cartAndDesk)
		expect(t, "series", a.series(), "cart: 5760, 5759..0; desk: 5760, 5759..0")
		if asked := f.questions(); len(asked) != 26 || asked[0] != "n1: 480" {
			t.Errorf("asked %q", asked)
		}
	})
}

// Of a namespace that no node has heard of nothing is kept, and of others nothing
// when nobody asks any more.
func TestKeptWhile(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newFleet(shop, "n1", "n2", "n3").open(t, Config{})
		windows := func(want int) {
			t.Helper()
			h.windows.mu.Lock()
			defer h.windows.mu.Unlock()
			if len(h.windows.all) != want {
				t.Errorf("%d windows, want %d", len(h.windows.all), want)
			}
		}
		_, _ = ask(t, h, cartAndDesk)
		windows(1)
		for i := range 100 {
			if a, _ := ask(t, h, fmt.Sprintf("namespaces/no-%d/pod-list/cart,desk/metrics/cpu/x", i)); a.Items != nil {
				t.Errorf("%d: %v", i, a)
			}
		}
		windows(1)
		time.Sleep(keepFor - time.Second)
		windows(1)
		time.Sleep(time.Second)
		synctest.Wait()
		windows(0)
		if kept := h.windows.kept(); kept != 0 {
			t.Errorf("%d bytes are kept", kept)
		}
	})
}

// What is kept does not hold the paths that asked for it, which may have 4 MB.
func TestKeepsNoPath(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newFleet(shop, "n1", "n2", "n3").open(t, Config{})
		heap := func() int64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		others := strings.Repeat(","+strings.Repeat("x", 250), 16000)
		for _, path := range []string{"namespaces/shop/pod-list/cart,desk" + others, "nodes/n1" + others + ",n2"} {
			if a, _ := ask(t, h, path+"/metrics/cpu/x"); len(a.Items) != 2 {
				t.Fatalf("%.40s: %d items", path, len(a.Items))
			}
		}
		if more := heap() - before; more > 2<<20 {
			t.Errorf("%d bytes more are in use", more)
		}
	})
}

// A namespace that is too large by itself is kept as long as nobody asks for another
// one, as far as there is room for it.
func TestTooLarge(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const pods = 10
		f := newFleet(func(_ string, slot int64) (all []model.Group) {
			for pod := range pods {
				all = append(all, podOf("shop", fmt.Sprint("pod-", pod), sampleOf("app", slot, 1, 1)))
			}
			return append(all, podOf("small", "pod", sampleOf("app", slot, 1, 1)))
		}, "n1")
		for _, c := range []struct{ room, shown int }{{pods, pods}, {pods - 2, pods - 2}} {
			h := f.open(t, Config{})
			h.windows.most = h.windows.bytes(int64(c.room)) / holdTimes
			var names []string
			for pod := range pods {
				names = append(names, fmt.Sprint("pod-", pod))
			}
			for i, asked := range []int{1, 0, 0} {
				a, _ := ask(t, h, "namespaces/shop/pod-list/"+strings.Join(names, ",")+"/metrics/cpu/x")
				if len(a.Items) != c.shown || len(f.questions()) != asked {
					t.Errorf("room for %d, question %d: %d pods", c.room, i, len(a.Items))
				}
				nextSlot()
			}
			if text := h.text("/"); strings.Contains(text, "n1: there is no room") != (c.shown < pods) {
				t.Errorf("room for %d: %s", c.room, text)
			}
			if c.shown == pods {
				continue
			}
			_, _ = ask(t, h, "namespaces/small/pod-list/pod/metrics/cpu/x")
			a, _ := ask(t, h, "namespaces/small/pod-list/pod/metrics/cpu/x")
			expect(t, "another one", a.series(), "pod: 60, 59..0")
		}
	})
}

// What nobody reads is dropped when there is too much, the longest unused first.
func TestTooMuch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(func(_ string, slot int64) (all []model.Group) {
			for ns := range 3 {
				for pod := range 10 {
					all = append(all, podOf(fmt.Sprint("ns-", ns), fmt.Sprint("pod-", pod), sampleOf("app", slot, 1, 1)))
				}
			}
			return all
		}, "n1")
		h := f.open(t, Config{})
		h.windows.most = 25 * trackSize(int(h.windows.cells())) // two and a half
		for ns, asked := range []int{1, 1, 1} {
			time.Sleep(time.Millisecond)
			_, _ = ask(t, h, fmt.Sprintf("namespaces/ns-%d/pod-list/pod-1/metrics/cpu/x", ns))
			if got := len(f.questions()); got != asked {
				t.Errorf("namespace %d: asked %d times", ns, got)
			}
			if kept := h.windows.kept(); kept > h.windows.most {
				t.Errorf("namespace %d: %d bytes are kept", ns, kept)
			}
		}
		for _, c := range []struct{ ns, asked int }{{2, 0}, {1, 0}, {0, 1}, {1, 0}, {2, 1}} {
			time.Sleep(time.Millisecond)
			_, _ = ask(t, h, fmt.Sprintf("namespaces/ns-%d/pod-list/pod-1/metrics/cpu/x", c.ns))
			if got := len(f.questions()); got != c.asked {
				t.Errorf("namespace %d again: asked %d times, want %d", c.ns, got, c.asked)
			}
		}
	})
}

// What is gone is forgotten.
func TestForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		end := model.Shown(time.Now(), resolution)
		f := newFleet(func(node string, slot int64) []model.Group {
			if slot > end {
				return shop("n3", slot)
			}
			return shop(node, slot)
		}, "n1", "n2")
		h := f.open(t, Config{})
		for range 70 {
			_, _ = ask(t, h, cartAndDesk)
			nextSlot()
		}
		a, _ := ask(t, h, cartAndDesk)
		expect(t, "series", a.series(), "")
		if kept := h.windows.kept(); kept != 0 {
			t.Errorf("%d bytes are kept", kept)
		}
	})
}

func TestClosed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newFleet(shop, "n1", "n2").open(t, Config{})
		h.Close()
		if a, _ := ask(t, h, cartAndDesk); len(a.Items) > 0 {
			t.Error("it asks")
		}
	})
}

func TestBefore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newFleet(shop, "n1").open(t, Config{})
		next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		for path, ours := range map[string]bool{
			"/": false, "/api/v1/node": false, "/api/v1/dashboards": false, "/api/v1/dashboard": true,
			"/api/v1/dashboard/": true, "/api/v1/dashboard//": true, "/api/v1/dashboard/nodes//metrics/cpu/x": true,
			"/api/v1/dashboard/nodes/%2F/metrics/cpu/x": true,
		} {
			rec := httptest.NewRecorder()
			h.Before(next).ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
			if (rec.Code == 200) != ours {
				t.Errorf("%s: %d", path, rec.Code)
			}
		}
	})
}

func TestPage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFleet(shop, "n1", "n2", "n3")
		h := f.open(t, Config{Namespaces: []string{"shop"}})
		see := func(path string, want ...string) {
			t.Helper()
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
			if rec.Code != 200 || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/plain") || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d %v", path, rec.Code, rec.Header())
			}
			for _, w := range want {
				if !strings.Contains(rec.Body.String(), w) {
					t.Errorf("%s: without %q:\n%s", path, w, rec.Body)
				}
			}
		}
		see("/", "URL: /\n", "Agents: 3 are expected. None was asked yet")
		see("/<b>?x=%3Ch", "URL: /%3Cb%3E?x=%3Ch\n", "the last 15m of nodes and pods, every 15s", "(--namespaces): shop.")
		see("/"+strings.Repeat("x", 1<<20), "xxx…\n")
		see(Prefix+"nodes/n1/metrics/cpu", "URL: "+Prefix)
		f.change(func() { f.late["n2"], f.hangs["n3"] = 2, true })
		_, _ = ask(t, h, cartAndDesk)
		time.Sleep(2 * time.Second)
		_, _ = ask(t, h, cartAndDesk)
		see("/", "Agents: 3 are expected. When last asked, for 2000-01-01T01:00:00Z (16s ago), 1 told all, 2 did not.", "Oldest: n2 last had values for 2000-01-01T00:59:30Z, 30s before that.", "n2: stale, 30 s older: it has no newer sample", "n3: timeout: ")
		f.change(func() { f.expected = nil })
		see("/", "No agent is expected")
	})
}
