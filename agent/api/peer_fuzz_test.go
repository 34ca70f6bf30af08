package api_test

import (
	"bytes"
	"io"
	"log/slog"
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
// never panics; it refuses with 4xx, or answers in full: a header, chunks that
// can be read and match what was asked for, and an end.
func FuzzPeer(f *testing.F) {
	r := fuzzedRing(f)
	debug := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	h := api.Peer(api.PeerConfig{Node: "node-1", Resolution: 15 * time.Second, Retention: time.Hour}, r, debug, slog.New(slog.DiscardHandler), prometheus.NewRegistry())

	f.Add(http.MethodGet, wire.ChunksPath, "from=0&to=2000000000")
	f.Add(http.MethodGet, wire.ChunksPath, "from=0&to=2000000000&pods=true")
	f.Add(http.MethodGet, wire.ChunksPath, "from=0&to=2000000000&pods=true&namespace=shop&pod=cart")
	f.Add(http.MethodGet, wire.ChunksPath, "from=-9223372036854775808&to=9223372036854775807&pods=true&namespace=%00&pod=%00%ff")
	f.Add(http.MethodGet, wire.ChunksPath, "from=1&to=2&teapot=yes")
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
			checkAnswer(t, w.Body.Bytes(), u)
		}
	})
}

// fuzzedRing has two blocks: one on disk and one in memory.
func fuzzedRing(f *testing.F) *ring.Ring {
	r := ring.Open(ring.Config{
		Dir: "ring", FS: vfs.NewMem(), Resolution: 15 * time.Second, Retention: time.Hour,
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	f.Cleanup(func() { _ = r.Close() })
	sample := model.Sample{Start: 1}
	sample.Set(model.CPU, 7)
	groups := []model.Group{{Samples: []model.Sample{sample}}}
	for _, name := range []string{"cart", "cart-2"} {
		groups = append(groups, model.Group{Pod: model.PodRef{Namespace: "shop", Name: name, UID: "u"}, Samples: []model.Sample{sample}})
	}
	for slot := int64(1795230000); slot < 1795230000+1000; slot += 15 {
		if err := r.Append(slot, &model.Scrape{Groups: groups}); err != nil {
			f.Fatal(err)
		}
	}
	return r
}

// checkAnswer reads an answer to the end.
func checkAnswer(t *testing.T, body []byte, u *url.URL) {
	t.Helper()
	q, err := wire.ParseQuery(u.Query())
	if err != nil {
		t.Fatalf("%v was answered; parsing it says %v", u, err)
	}
	r, err := wire.NewReader(bytes.NewReader(body), -1)
	if err != nil {
		t.Fatalf("%v: %v", u, err)
	}
	n := 0
	for {
		item, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v: %v", u, err)
		}
		c, err := chunk.Parse(item.Chunk)
		if err != nil {
			t.Fatalf("%v: %v", u, err)
		}
		if q.Pods == (c.Pod == model.PodRef{}) || (q.Namespace != "" && c.Pod.Namespace != q.Namespace) || (q.Pod != "" && c.Pod.Name != q.Pod) {
			t.Fatalf("%v: a chunk of %v", u, c.Pod)
		}
		n++
	}
	if r.End.GetError() != "" || (n > 0 && !r.End.GetKnown()) {
		t.Fatalf("%v: %d chunks, end %v", u, n, r.End)
	}
}
