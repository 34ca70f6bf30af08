package api

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRing has chunks, then perhaps an error.
type fakeRing struct {
	chunks []string
	err    error
	known  bool
	asked  model.Query
}

func (f *fakeRing) Chunks(_ context.Context, q model.Query) iter.Seq2[[]byte, error] {
	f.asked = q
	return func(yield func([]byte, error) bool) {
		for _, c := range f.chunks {
			if !yield([]byte(c), nil) {
				return
			}
		}
		if f.err != nil {
			yield(nil, f.err)
		}
	}
}
func (f *fakeRing) Knows(string, string) (bool, error)                        { return f.known, nil }
func (f *fakeRing) Pods(context.Context, model.Query) ([]model.PodRef, error) { return nil, nil }
func (f *fakeRing) Latest() (int64, model.Scrape, bool)                       { return 0, model.Scrape{}, false }

func newPeer(r Ring) http.Handler {
	return Peer(PeerConfig{Node: "node-1", Resolution: 15 * time.Second, Retention: time.Hour}, r, debugPages(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

func debugPages() http.Handler {
	return Debug(Pages{
		Summary: func() sampler.Status {
			return sampler.Status{Slot: 15, Err: errors.New("no kubelet"), Answer: kubelet.Answer{Status: 500, Body: []byte(`failed "x"`)}}
		},
		Ring:   func() ring.Status { return ring.Status{State: "disk"} },
		Roster: func() any { return "nobody" },
		Config: map[string]string{"--node-name": "node-1"},
	})
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestChunks(t *testing.T) {
	cases := map[string]struct {
		ring    fakeRing
		query   string
		chunks  int
		known   bool
		problem string
	}{
		"node":             {fakeRing{chunks: []string{"a", "b"}}, "from=1&to=2", 2, true, ""},
		"pods":             {fakeRing{chunks: []string{"a"}}, "from=1&to=2&pods=true&namespace=shop&pod=cart", 1, true, ""},
		"known, not now":   {fakeRing{known: true}, "from=1&to=2&pods=true&namespace=shop&pod=cart", 0, true, ""},
		"unknown":          {fakeRing{}, "from=1&to=2&pods=true&namespace=shop&pod=cart", 0, false, ""},
		"broken at once":   {fakeRing{err: errors.New("bad disk")}, "from=1&to=2", 0, false, "bad disk"},
		"broken half-way":  {fakeRing{chunks: []string{"a"}, err: errors.New("bad disk")}, "from=1&to=2", 1, true, "bad disk"},
		"nothing measured": {fakeRing{}, "from=1&to=2", 0, false, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := get(newPeer(&c.ring), wire.ChunksPath+"?"+c.query)
			if w.Code != 200 || w.Header().Get("Content-Type") != wire.ContentType {
				t.Fatalf("%d %s", w.Code, w.Header())
			}
			r, err := wire.NewReader(w.Body, -1)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for ; err == nil; n++ {
				_, err = r.Next()
			}
			if err != io.EOF {
				t.Fatal(err)
			}
			if n-1 != c.chunks || r.End.GetKnown() != c.known || r.End.GetError() != c.problem {
				t.Errorf("%d chunks, end %v", n-1, r.End)
			}
			if r.Header.GetNode() != "node-1" || r.Header.GetResolution() != 15 {
				t.Errorf("header %v", r.Header)
			}
		})
	}
}

func TestPeerRefuses(t *testing.T) {
	h := newPeer(&fakeRing{})
	for path, want := range map[string]int{
		wire.ChunksPath: 400,
		wire.ChunksPath + "?from=1&to=2&teapot=yes": 400,
		"/peer/v2/chunks?from=1&to=2":               404,
		"/api/v1/node":                              404,
		"/debug/ring":                               404,
		wire.DebugPath + "teapot":                   404,
	} {
		if w := get(h, path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestDebugPages(t *testing.T) {
	for page, want := range map[string]string{
		"summary": `"error": "no kubelet"`,
		"ring":    `"state": "disk"`,
		"roster":  `"nobody"`,
		"config":  `"--node-name": "node-1"`,
		"":        "/debug/summary",
	} {
		for _, w := range []*httptest.ResponseRecorder{
			get(debugPages(), "/debug/"+page), get(newPeer(&fakeRing{}), wire.DebugPath+page),
		} {
			if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%q: %d %s", page, w.Code, w.Body)
			}
		}
	}
}
