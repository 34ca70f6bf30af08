package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// block1 is the start of a block, in Unix seconds: that of the year 2100, as what is
// appended to a ring after its time is late.
const block1 = 4_102_444_800

// openRing opens a ring that is kept for as long as the test.
func openRing(t *testing.T, fs vfs.FS) *ring.Ring {
	t.Helper()
	r := ring.Open(ring.Config{Dir: "ring", FS: fs, Resolution: 15 * time.Second, Retention: time.Hour},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// scrape is of the node and of pods that each have themselves and a container.
// A pod is given as name/UID.
func scrape(pods ...string) *model.Scrape {
	own, app := model.Sample{Start: 1}, model.Sample{Name: "app", Start: 1}
	own.Set(model.CPU, 7)
	app.Set(model.CPU, 5)
	s := &model.Scrape{Groups: []model.Group{{Samples: []model.Sample{own}}}}
	for _, pod := range pods {
		name, uid, _ := strings.Cut(pod, "/")
		s.Groups = append(s.Groups, model.Group{Pod: model.PodRef{Namespace: "shop", Name: name, UID: uid}, Samples: []model.Sample{own, app}})
	}
	return s
}

// ringOf has scrapes of these pods in these slots after block1.
func ringOf(t *testing.T, slots ...map[int][]string) *ring.Ring {
	t.Helper()
	r := openRing(t, vfs.NewMem())
	for _, at := range slots {
		for slot, pods := range at {
			if err := r.Append(block1+int64(slot)*15, scrape(pods...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// said is what an agent answers: "" is the node, "a/1" a pod, each with the
// slot after block1; further pods are only named.
type said struct {
	chunks []string
	pods   []string
	known  bool
	err    string

	unlisted string
}

func askLatest(t *testing.T, r Ring, to int, since int64, late bool) (s said) {
	t.Helper()
	q := wire.Latest{To: block1 + int64(to)*15, Since: since, Late: late}
	w := get(newPeer(r), wire.LatestPath+"?"+q.Values().Encode())
	in, err := wire.NewReader(w.Body, -1)
	if err != nil {
		t.Fatal(w.Code, err)
	}
	for {
		item, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if item.Chunk == nil {
			s.pods = append(s.pods, item.Namespace+"/"+item.Pod)
			continue
		}
		c, err := chunk.Parse(item.Chunk)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(c.Pod.Name+"/"+c.Pod.UID, "/")
		rows, slot := 0, int64(0)
		var d chunk.Decoder
		for d.Reset(c); d.Next(); rows++ {
			if slot = (d.Row().Slot - block1) / 15; d.Row().Has(model.CPU) != (d.Row().Start == 1) {
				t.Errorf("%s: row %+v", name, d.Row())
			}
		}
		if rows != 1+strings.Count(name, "/") || d.Err() != nil {
			t.Errorf("%s: %d rows, %v", name, rows, d.Err())
		}
		s.chunks = append(s.chunks, fmt.Sprintf("%s@%d", name, slot))
	}
	s.known, s.err, s.unlisted = in.End.GetKnown(), in.End.GetError(), in.End.GetUnlisted()
	return s
}

func TestLatest(t *testing.T) {
	slot := func(n int, pods ...string) map[int][]string { return map[int][]string{n: pods} }
	cases := map[string]struct {
		slots []map[int][]string
		to    int
		since int64
		want  said
	}{
		"the newest": {
			slots: []map[int][]string{slot(0, "a/1"), slot(1, "a/1", "b/1")}, to: 1,
			want: said{chunks: []string{"@1", "a/1@1", "b/1@1"}, known: true},
		},
		"the newest, long before": {
			slots: []map[int][]string{slot(0, "a/1")}, to: 1000,
			want: said{chunks: []string{"@0", "a/1@0"}, known: true},
		},
		"one before the newest": {
			slots: []map[int][]string{slot(0, "a/1"), slot(1, "b/1"), slot(2, "c/1")}, to: 1,
			want: said{chunks: []string{"@1", "b/1@1"}, pods: []string{"shop/a", "shop/c"}, known: true},
		},
		"in the block before": {
			slots: []map[int][]string{slot(58, "a/1"), slot(59, "b/1", "a/1"), slot(60, "b/1"), slot(61, "b/1")}, to: 59,
			want: said{chunks: []string{"@59", "a/1@59", "b/1@59"}, known: true},
		},
		"some slots before, in the block before": {
			slots: []map[int][]string{slot(58, "a/1"), slot(63, "b/1")}, to: 61,
			want: said{chunks: []string{"@58", "a/1@58"}, pods: []string{"shop/b"}, known: true},
		},
		"too many slots before": {
			slots: []map[int][]string{slot(57, "a/1"), slot(63, "b/1")}, to: 61,
			want: said{chunks: []string{"@57", "a/1@57"}, pods: []string{"shop/b"}, known: true},
		},
		"before all": {
			slots: []map[int][]string{slot(10, "a/1")}, to: 9,
			want: said{pods: []string{"shop/a"}},
		},
		"pods since then": {
			slots: []map[int][]string{slot(0, "a/1"), slot(60, "b/1"), slot(120, "c/1"), slot(121, "d/1")}, to: 121, since: block1 + 900,
			want: said{chunks: []string{"@121", "d/1@121"}, pods: []string{"shop/b", "shop/c"}, known: true},
		},
		"two UIDs, both there": {
			slots: []map[int][]string{slot(0, "a/1", "a/2")}, to: 0,
			want: said{chunks: []string{"@0", "a/1@0", "a/2@0"}, known: true},
		},
		"two UIDs, one there": {
			slots: []map[int][]string{slot(0, "a/1", "b/1", "b/2"), slot(1, "a/2")}, to: 1,
			want: said{chunks: []string{"@1", "a/2@1"}, pods: []string{"shop/b"}, known: true},
		},
		"nothing": {to: 5},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := askLatest(t, ringOf(t, c.slots...), c.to, c.since, false)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// What came late is not told in its slot, where others may have been told of the
// one before; unless it is asked for.
func TestLatestOfLateSlot(t *testing.T) {
	r := newestRing{slot: block1 + 15, scrape: scrape("b/1")}
	b := chunk.NewBuilder(chunk.Header{Block: block1, Resolution: 15 * time.Second})
	if err := b.Append(block1, scrape().Groups[0].Samples); err != nil {
		t.Fatal(err)
	}
	r.own, r.late = string(b.AppendChunk(nil)), block1+15
	for _, c := range []struct {
		to   int64
		late bool
		want int64
	}{{15, false, 0}, {15, true, 0}, {30, false, 15}} {
		w := get(newPeer(&r), wire.LatestPath+"?"+wire.Latest{To: block1 + c.to, Late: c.late}.Values().Encode())
		in, err := wire.NewReader(w.Body, -1)
		if err != nil {
			t.Fatal(w.Code, err)
		}
		item, err := in.Next()
		if slot, _ := chunk.First(item.Chunk); err != nil || slot != block1+c.want {
			t.Errorf("to %d, late %v: slot %d, %v; want %d", c.to, c.late, slot-block1, err, c.want)
		}
	}
	r.own = "" // nothing before it
	for late, want := range map[bool]string{false: "[]", true: "[@1 b/1@1]"} {
		if got := fmt.Sprint(askLatest(t, &r, 1, 0, late).chunks); got != want {
			t.Errorf("without one before, late %v: %v, want %s", late, got, want)
		}
	}
}

// After a restart the order in the ring is that in which pods came.
func TestLatestOfRingOpenedAgain(t *testing.T) {
	fs := vfs.NewMem()
	r := openRing(t, fs)
	for slot, pods := range [][]string{{"c/1", "d/1"}, {"a/1", "b/1", "c/1"}} {
		if err := r.Append(block1+int64(slot)*15, scrape(pods...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	want := said{chunks: []string{"@1", "a/1@1", "b/1@1", "c/1@1"}, pods: []string{"shop/d"}, known: true}
	if got := askLatest(t, openRing(t, fs), 1, 0, false); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// newestRing has a newest scrape beside its chunks.
type newestRing struct {
	fakeRing
	slot   int64
	scrape *model.Scrape
	listed error  // of Pods
	own    string // the node's chunk
}

func (r *newestRing) Scrape(to int64) (int64, model.Scrape, bool) {
	if r.scrape == nil || r.slot > to {
		return 0, model.Scrape{}, false
	}
	return r.slot, *r.scrape, true
}

func (r *newestRing) Pods(context.Context, model.Query) ([]model.PodRef, error) {
	return []model.PodRef{{Namespace: "shop", Name: "b", UID: "1"}}, r.listed
}

func (r *newestRing) Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error] {
	if q.Pods {
		return r.fakeRing.Chunks(ctx, q)
	}
	return func(yield func([]byte, error) bool) {
		if r.own != "" {
			yield([]byte(r.own), nil)
		}
	}
}

func TestLatestOfRingThatFails(t *testing.T) {
	coded := func(name string) string {
		b := chunk.NewBuilder(chunk.Header{Pod: model.PodRef{Namespace: "shop", Name: name, UID: "1"}, Block: block1, Resolution: 15 * time.Second})
		if err := b.Append(block1, scrape("a/1").Groups[1].Samples); err != nil {
			t.Fatal(err)
		}
		return string(b.AppendChunk(nil))
	}
	good, other := coded("a"), coded("z")
	bad := errors.New("bad disk")
	cases := map[string]struct {
		ring newestRing
		to   int
		want said
	}{
		"listing":         {newestRing{slot: block1, scrape: scrape(), listed: bad}, 0, said{[]string{"@0"}, []string{"shop/b"}, true, "", "bad disk"}},
		"slot before":     {newestRing{slot: block1 + 15, scrape: scrape(), fakeRing: fakeRing{chunks: []string{good}, err: bad}}, 0, said{[]string{"a/1@0"}, nil, true, "bad disk", ""}},
		"damaged chunk":   {newestRing{slot: block1 + 15, scrape: scrape(), fakeRing: fakeRing{chunks: []string{"", good}}}, 0, said{[]string{"a/1@0"}, nil, true, "corrupt chunk: empty", ""}},
		"the same twice":  {newestRing{slot: block1 + 15, scrape: scrape(), fakeRing: fakeRing{chunks: []string{good, good}}}, 0, said{[]string{"a/1@0"}, []string{"shop/b"}, true, "", ""}},
		"two blocks":      {newestRing{slot: block1 + 15, scrape: scrape(), fakeRing: fakeRing{chunks: []string{other, good}}}, 0, said{[]string{"a/1@0", "z/1@0"}, []string{"shop/b"}, true, "", ""}},
		"refused by ring": {newestRing{slot: block1, scrape: scrape("a/1", "c/"+strings.Repeat("x", model.MaxName+1))}, 0, said{[]string{"@0", "a/1@0"}, []string{"shop/b"}, true, "", ""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := askLatest(t, &c.ring, c.to, 0, false); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// Of its own newest values an agent shows what an aggregator would: for three
// slots after the last that has ended.
func TestLocalLatest(t *testing.T) {
	const node, pods = "/api/v1/node?latest=true", "/api/v1/pod?latest=true"
	cases := map[string]struct {
		path   string
		slots  int64 // of the scrape before now
		none   bool  // there is no scrape
		known  bool  // there are older samples of the pod
		status int
		points int
		stale  string
	}{
		"node, of this slot only":  {path: node, slots: 0, status: 200, points: 0},
		"node":                     {path: node, slots: 1, status: 200, points: 1},
		"node, stale":              {path: node, slots: 2, status: 200, points: 1, stale: `"outcome":"stale","elapsedMs":0,"ageSeconds":15,"error":"it has no newer sample"`},
		"node, very stale":         {path: node, slots: 4, status: 200, points: 1, stale: `"ageSeconds":45,"error":"it has no newer sample"`},
		"node, too old":            {path: node, slots: 5, status: 200, points: 0, stale: `"ageSeconds":60,"error":"its newest sample is too old to be shown"`},
		"node, never":              {path: node, none: true, status: 200, points: 0},
		"node that is not here":    {path: "/api/v1/node/node-2?latest=true", status: 404},
		"pods":                     {path: pods, slots: 1, status: 200, points: 2},
		"pods with their own":      {path: pods + "&metrics=cpu", slots: 1, status: 200, points: 4},
		"namespace":                {path: "/api/v1/pod/shop?latest=true", slots: 1, status: 200, points: 2},
		"pod":                      {path: "/api/v1/pod/shop/b?latest=true", slots: 1, status: 200, points: 1},
		"container":                {path: "/api/v1/pod/shop/c/app?latest=true", slots: 1, status: 200, points: 1},
		"unknown container":        {path: "/api/v1/pod/shop/c/envoy?latest=true", slots: 1, status: 404},
		"unknown pod":              {path: "/api/v1/pod/shop/d?latest=true", slots: 1, status: 404},
		"pod that was":             {path: "/api/v1/pod/shop/d?latest=true", slots: 1, known: true, status: 200},
		"unknown pod, stale":       {path: "/api/v1/pod/shop/d?latest=true", slots: 2, status: 200, stale: `"outcome":"stale"`},
		"stale, but not permitted": {path: pods + "&partial=deny", slots: 2, status: 503, stale: `"outcome":"stale"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(7 * time.Second) // within a slot
				r := &newestRing{slot: model.SlotOf(time.Now(), 15*time.Second) - c.slots*15, scrape: scrape("b/1", "b/2", "c/1")}
				r.known = c.known
				if c.none {
					r.scrape = nil
				}
				w := get(apiv1.New(apiv1.Config{Resolution: 15 * time.Second, Timeout: time.Second}, Local("node-1", r)), c.path)
				body := w.Body.String()
				if w.Code != c.status || strings.Count(body, `"timestamp"`) != c.points || strings.Contains(body, `"stale"`) != (c.stale != "") || !strings.Contains(body, c.stale) ||
					(c.points > 0 && !strings.Contains(body, fmt.Sprintf(`"timestamp":%d,`, r.slot))) {
					t.Errorf("%d %s", w.Code, body)
				}
			})
		})
	}
}

// Asking for a source's answer does not change what the ring has.
func TestLatestLeavesScrape(t *testing.T) {
	r := &newestRing{slot: block1, scrape: scrape("b/1", "a/1")}
	before := slices.Clone(r.scrape.Groups)
	askLatest(t, r, 0, 0, false)
	a, err := Local("node-1", r).Ask(t.Context(), apiv1.Question{Latest: true, Query: model.Query{Pods: true, From: block1 - 60, To: block1}})
	if err != nil || len(a.Nodes[0].Chunks) != 2 || !a.Coverage.Complete() {
		t.Errorf("%+v, %v", a, err)
	}
	if !slices.EqualFunc(before, r.scrape.Groups, func(a, b model.Group) bool { return a.Pod == b.Pod }) {
		t.Error("the scrape was sorted in place")
	}
}
