package api

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1/apiv1test"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRing has chunks, then perhaps an error.
type fakeRing struct {
	chunks []string
	err    error
	known  bool
	late   int64
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
func (f *fakeRing) Late(slot int64) bool                                      { return slot == f.late }
func (f *fakeRing) Scrape(int64) (int64, model.Scrape, bool)                  { return 0, model.Scrape{}, false }

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
	node := string(chunk.NewBuilder(chunk.Header{Resolution: 15 * time.Second}).AppendChunk(nil))
	cart := string(chunk.NewBuilder(chunk.Header{Pod: model.PodRef{Namespace: "shop", Name: "cart"}, Resolution: 15 * time.Second}).AppendChunk(nil))
	const q, cartQuery = "from=0&to=899", "from=0&to=899&pods=true&namespace=shop&pod=cart"
	cases := map[string]struct {
		ring    fakeRing
		query   string
		chunks  int
		known   bool
		problem string
	}{
		"node":              {fakeRing{chunks: []string{node, node}}, q, 2, true, ""},
		"pods":              {fakeRing{chunks: []string{cart}}, cartQuery, 1, true, ""},
		"beside the window": {fakeRing{chunks: []string{cart}}, cartQuery + "&metrics=2", 0, true, ""},
		"without container": {fakeRing{chunks: []string{cart, cart}}, cartQuery + "&container=app", 1, true, ""},
		"known, not now":    {fakeRing{known: true}, cartQuery, 0, true, ""},
		"unknown":           {fakeRing{}, cartQuery, 0, false, ""},
		"broken at once":    {fakeRing{err: errors.New("bad disk")}, q, 0, false, "bad disk"},
		"broken half-way":   {fakeRing{chunks: []string{node}, err: errors.New("bad disk")}, q, 1, true, "bad disk"},
		"one unreadable":    {fakeRing{chunks: []string{node, "", node}}, q, 2, true, "corrupt chunk: empty"},
		"last unreadable":   {fakeRing{chunks: []string{node, node + "\x00"}}, q + "&step=15&agg=max", 0, true, "corrupt chunk: step of 0 slots after slot -1"},
		"nothing measured":  {fakeRing{}, q, 0, false, ""},
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

// asked is the source that asks one agent through its peer API, as an
// aggregator does.
type asked struct{ peer http.Handler }

func (a asked) Ask(_ context.Context, q apiv1.Question) (apiv1.Answer, error) {
	if q.Node != "" && q.Node != "node-1" {
		return apiv1.Answer{}, apiv1.Errorf(apiv1.NotFound, "no node %q", q.Node)
	}
	w := get(a.peer, wire.ChunksPath+"?"+wire.Values(q.Query).Encode())
	r, err := wire.NewReader(w.Body, -1)
	if err != nil {
		return apiv1.Answer{}, fmt.Errorf("%d %s: %w", w.Code, w.Body, err)
	}
	n := apiv1.NodeAnswer{Node: "node-1"}
	for {
		item, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return apiv1.Answer{}, err
		}
		if item.Values != nil {
			n.Binned = append(n.Binned, apiv1.Binned{Values: item.Values, Weights: item.Weights})
		} else {
			n.Chunks = append(n.Chunks, item.Chunk)
		}
	}
	n.Known = r.End.GetKnown()
	cov := coverage.Coverage{Expected: 1, Asked: 1, Answered: 1}
	if why := r.End.GetError(); why != "" {
		cov.Lose(coverage.Missing{Node: "node-1", Outcome: coverage.Truncated, Err: why})
	}
	return apiv1.Answer{Nodes: []apiv1.NodeAnswer{n}, Coverage: cov}, nil
}

// What aggregators show does not depend on what agents leave out.
func TestPeerConforms(t *testing.T) {
	apiv1test.TestSource(t, func(_ *testing.T, h *apiv1test.History) apiv1.Source {
		return asked{newPeer(shelf{h})}
	})
}

func TestPeerRefuses(t *testing.T) {
	h := newPeer(&fakeRing{})
	for path, want := range map[string]int{
		wire.ChunksPath: 400,
		wire.ChunksPath + "?from=1&to=2&teapot=yes":       400,
		wire.ChunksPath + "?from=1&to=2&step=20&agg=mean": 400, // not whole slots
		wire.LatestPath + "?to=1":                         400,
		"/peer/v2/chunks?from=1&to=2":                     404,
		"/api/v1/node":                                    404,
		"/debug/ring":                                     404,
		wire.DebugPath + "teapot":                         404,
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
