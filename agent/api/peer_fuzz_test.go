package api_test

import (
	"bytes"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/agent/api"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// FuzzPeer asks the peer API, with a real ring behind it, for anything. It
// never panics; it refuses with 4xx, or answers in full: a header, exactly what
// was asked for, and an end.
func FuzzPeer(f *testing.F) {
	r := fuzzedRing(f)
	debug := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	h := api.Peer(api.PeerConfig{Node: "node-1", Resolution: 15 * time.Second, Retention: time.Hour}, r, debug, slog.New(slog.DiscardHandler), prometheus.NewRegistry())

	f.Add(http.MethodGet, wire.ChunksPath, "from=0&to=2000000000")
	f.Add(http.MethodGet, wire.ChunksPath, "from=0&to=2000000000&pods=true")
	f.Add(http.MethodGet, wire.ChunksPath, "from=0&to=2000000000&pods=true&namespace=shop&pod=cart")
	f.Add(http.MethodGet, wire.ChunksPath, "from=-9223372036854775808&to=9223372036854775807&pods=true&namespace=%00&pod=%00%ff")
	f.Add(http.MethodGet, wire.ChunksPath, "from=0&to=2000000000&pods=true&namespace=shop&pod=cart&container=app&metrics=2")
	f.Add(http.MethodGet, wire.ChunksPath, "from=1795230100&to=1795230950&pods=true&own=false&metrics=130")
	f.Add(http.MethodGet, wire.ChunksPath, "from=1795230100&to=1795230950&pods=true&step=60&agg=mean&metrics=6")
	f.Add(http.MethodGet, wire.ChunksPath, "from=1795230100&to=1795230950&step=120&agg=mean")
	f.Add(http.MethodGet, wire.ChunksPath, "from=-1795230100&to=1795230950&step=86400&agg=last")
	f.Add(http.MethodGet, wire.ChunksPath, "from=0&to=1795230950&pods=true&own=false&step=105&agg=min")
	f.Add(http.MethodGet, wire.ChunksPath, "from=1&to=2&teapot=yes")
	f.Add(http.MethodGet, wire.LatestPath, "to=1795230500&since=0")
	f.Add(http.MethodGet, wire.DebugPath+"ring", "")
	f.Add(http.MethodGet, wire.DebugPath+"../../x/%2e%2e/", "a=b")
	f.Add(http.MethodPost, "//peer/v1/./chunks", "")
	f.Fuzz(func(t *testing.T, method, path, query string) {
		// As net/http's server does: what it does not take never gets here.
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		u.RawQuery = query
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Method, req.URL, req.RequestURI = method, u, u.RequestURI()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		switch {
		case w.Code >= 300 && w.Code < 500: // a cleaned path, or a refusal
		case w.Code != http.StatusOK:
			t.Fatalf("%s %s?%s: status %d", method, path, query, w.Code)
		case u.Path == wire.ChunksPath && method == http.MethodGet:
			checkAnswer(t, r, w.Body.Bytes(), u)
		}
	})
}

// fuzzedRing has two blocks: one on disk and one in memory.
func fuzzedRing(f *testing.F) *ring.Ring {
	r := ring.Open(ring.Config{
		Dir: "ring", FS: vfs.NewMem(), Resolution: 15 * time.Second, Retention: time.Hour,
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	f.Cleanup(func() { _ = r.Close() })
	for slot := int64(1795230000); slot < 1795230000+1000; slot += 15 {
		own := model.Sample{Start: 1}
		own.Set(model.CPU, uint64(slot*slot))
		if slot%60 == 0 {
			own.Set(model.NetworkRx, uint64(slot))
		}
		app := model.Sample{Name: "app", Start: slot - slot%200} // it restarts
		app.Set(model.CPUTotal, uint64(slot))
		app.Set(model.CPU, uint64(slot)<<10)
		groups := []model.Group{{Samples: []model.Sample{own}}}
		for _, name := range []string{"cart", "cart-2"} {
			samples := []model.Sample{own, app}
			groups = append(groups, model.Group{Pod: model.PodRef{Namespace: "shop", Name: name, UID: "u"}, Samples: samples})
		}
		if err := r.Append(slot, &model.Scrape{Groups: groups}); err != nil {
			f.Fatal(err)
		}
	}
	return r
}

// A place is a column of a row of the node or a pod.
type place struct {
	pod, name string
	slot      int64
	metric    model.Metric
}

// A shown is what a question shows at a place: a sum of n values, or one value.
type shown struct{ value, n uint64 }

// add adds a value of weight n: how many a sum has, when the last one was.
func (s shown) add(how model.Aggregate, v, n uint64) shown {
	switch {
	case s == shown{}, how == model.Last && n >= s.n, how == model.Max && v > s.value, how == model.Min && v < s.value:
		return shown{v, n}
	case how == model.Mean:
		return shown{s.value + v, s.n + n}
	}
	return s
}

// expected picks by hand what the ring has of what is asked for.
func expected(t *testing.T, r *ring.Ring, q *model.Query) map[place]shown {
	t.Helper()
	want := map[place]shown{}
	for b, err := range r.Chunks(t.Context(), *q) {
		if err != nil {
			t.Fatal(err)
		}
		for row, ref := range rowsOf(t, b) {
			for m := range model.NumMetrics {
				v, ok := row.Get(m)
				if !ok || row.Slot < q.From || row.Slot > q.To || (q.Metrics != 0 && !q.Metrics.Has(m)) || (q.Container != "" && row.Name != q.Container) {
					continue
				}
				slot, n, how := row.Slot, uint64(1), model.Last
				if q.Step > 0 {
					how = q.Agg.Of(m)
					slot -= ((slot % q.Step) + q.Step) % q.Step
				}
				if q.Step > 0 && how == model.Last {
					n = uint64(row.Slot - slot)
				}
				at := place{ref.Name, row.Name, slot, m}
				want[at] = want[at].add(how, v, n)
			}
		}
	}
	if q.NoOwn {
		// In this ring whatever pod has anything has its container, but for what
		// only the pod has.
		for at := range want {
			app := place{at.pod, "app", at.slot, model.CPU}
			if _, ok := want[app]; at.name == "" && (ok || q.Metrics == 0 || q.Metrics.Has(model.CPUTotal)) {
				delete(want, at)
			}
		}
	}
	return want
}

// rowsOf yields the rows of a chunk, each with its pod.
func rowsOf(t *testing.T, b []byte) iter.Seq2[*chunk.Row, model.PodRef] {
	t.Helper()
	c, err := chunk.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(*chunk.Row, model.PodRef) bool) {
		var d chunk.Decoder
		for d.Reset(c); d.Next(); {
			if !yield(d.Row(), c.Pod) {
				return
			}
		}
		if d.Err() != nil {
			t.Fatal(d.Err())
		}
	}
}

// checkAnswer reads an answer to the end.
func checkAnswer(t *testing.T, history *ring.Ring, body []byte, u *url.URL) {
	t.Helper()
	q, err := wire.ParseQuery(u.Query())
	if err != nil {
		t.Fatalf("%v was answered; parsing it says %v", u, err)
	}
	r, err := wire.NewReader(bytes.NewReader(body), -1)
	if err != nil {
		t.Fatalf("%v: %v", u, err)
	}
	n, got := 0, map[place]shown{}
	for {
		item, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v: %v", u, err)
		}
		n++
		weights := map[place]uint64{}
		if len(item.Weights) > 0 {
			for row, ref := range rowsOf(t, item.Weights) {
				for m := range model.NumMetrics {
					if v, ok := row.Get(m); ok {
						weights[place{ref.Name, row.Name, row.Slot, m}] = v
					}
				}
			}
		}
		b, how := item.Chunk, model.Last
		if b == nil {
			b = item.Values
		}
		for row, ref := range rowsOf(t, b) {
			if q.Pods == (ref == model.PodRef{}) || (q.Namespace != "" && ref.Namespace != q.Namespace) || (q.Pod != "" && ref.Name != q.Pod) {
				t.Fatalf("%v: a chunk of %v", u, ref)
			}
			for m := range model.NumMetrics {
				v, ok := row.Get(m)
				if !ok {
					continue
				}
				at, w := place{ref.Name, row.Name, row.Slot, m}, uint64(1)
				if q.Step > 0 {
					how = q.Agg.Of(m)
				}
				switch {
				case item.Values != nil && (how == model.Mean || how == model.Last):
					w = weights[at]
				case item.Values == nil && q.Step > 0: // of which a sum is too large
					at.slot -= ((at.slot % q.Step) + q.Step) % q.Step
					if how == model.Last {
						w = uint64(row.Slot - at.slot)
					}
				}
				got[at] = got[at].add(how, v, w)
			}
		}
	}
	if r.End.GetError() != "" || (n > 0 && !r.End.GetKnown()) {
		t.Fatalf("%v: %d chunks, end %v", u, n, r.End)
	}
	if want := expected(t, history, &q); !maps.Equal(got, want) {
		t.Fatalf("%v:\n%v\nwant\n%v", u, got, want)
	}
}
