package apiv1test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// TestSource tests that a source keeps what [apiv1.Source] promises. open makes
// a source of the one node [Node], which has that history.
func TestSource(t *testing.T, open func(*testing.T, *History) apiv1.Source) {
	histories := map[string]func(*History){
		"all readable":    func(*History) {},
		"part unreadable": func(h *History) { h.Err = errDisk },
		"damaged chunk":   func(h *History) { h.damage("shop", "web") },
		"damaged node":    func(h *History) { h.damage("", "") },
		"nothing":         func(h *History) { h.chunks = nil },
	}
	for name, change := range histories {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t)
			change(h)
			testSame(t, h, open(t, h))
			testAnswers(t, h, open(t, h))
		})
	}
	t.Run("another node", func(t *testing.T) {
		var e *apiv1.Error
		_, err := open(t, newHistory(t)).Ask(t.Context(), apiv1.Question{Node: "node-2", Timeout: time.Hour})
		if !errors.As(err, &e) || e.Code != apiv1.NotFound {
			t.Errorf("error %v", err)
		}
	})
}

// testSame compares what /api/v1 says with what it says of the reference.
func testSame(t *testing.T, h *History, s apiv1.Source) {
	t.Helper()
	cfg := apiv1.Config{Resolution: resolution, Timeout: time.Hour}
	want, got := apiv1.New(cfg, reference{h}), apiv1.New(cfg, s)
	windows := map[string][2]int{ // slots after begin
		"all": {0, 200}, "blocks": {60, 119}, "part": {55, 100}, "before": {-200, -100}, "after": {300, 400},
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	for _, route := range []string{
		"/node", "/node/" + Node, "/pod", "/pod/batch", "/pod/batch/web", "/pod/shop/web", "/pod/shop/web/web",
		"/pod/shop/cart/envoy", "/pod/shop/cart/nobody", "/pod/batch/job", "/pod/shop/nobody", "/pod/nobody",
	} {
		for _, query := range []string{
			"", "&partial=deny", "&partial=min:0.5&metrics=networkRx,rss", "&step=7m&agg=max", "&step=1h&agg=min&metrics=swap,cpu",
			"&step=1m&agg=last&metrics=cpu,networkRx&partial=deny", "&step=30m&metrics=memory,networkRx,rss",
		} {
			for name, w := range windows {
				path := fmt.Sprintf("/api/v1%s?start=%d&end=%d%s", route, begin+w[0]*15, begin+w[1]*15, query)
				wait.Go(func() { // sources are safe for concurrent use
					if got, want := get(got, path), get(want, path); !reflect.DeepEqual(got, want) {
						t.Errorf("window %q: GET %s\n%s\nwant\n%s", name, path, got, want)
					}
				})
			}
		}
	}
}

// response is what has to be the same. Not so the times and texts of errors.
type response struct {
	Status      int
	Nodes, Pods json.RawMessage
	Error       struct{ Code string }
	Coverage    struct {
		Expected, Asked, Answered int
		Missing                   []struct{ Node, Outcome string }
	}
	Invalid error
}

func (r response) String() string {
	return fmt.Sprintf("%d %q %v %v nodes: %s pods: %s", r.Status, r.Error.Code, r.Coverage, r.Invalid, short(r.Nodes), short(r.Pods))
}

func short(b []byte) string {
	const most = 2000
	if len(b) > most {
		return fmt.Sprintf("%s… (%d bytes)", b[:most], len(b))
	}
	return string(b)
}

func get(h http.Handler, path string) response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	r := response{Status: w.Code}
	r.Invalid = json.Unmarshal(w.Body.Bytes(), &r)
	if len(r.Coverage.Missing) > 0 && string(r.Nodes) == `[{"name":"`+Node+`","metrics":[]}]` {
		r.Nodes = json.RawMessage("[]") // a missing node without points may be there
	}
	return r
}

// testAnswers reads answers as the handler does not.
func testAnswers(t *testing.T, h *History, s apiv1.Source) {
	t.Helper()
	all := model.Query{From: begin, To: begin + 3*model.BlockSeconds}
	pods := all
	pods.Pods = true
	for _, q := range []model.Query{all, pods} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a, err := s.Ask(ctx, apiv1.Question{Query: q, Timeout: time.Hour})
		if err != nil || len(a.Nodes) > 1 || (len(a.Nodes) == 1 && a.Nodes[0].Node != Node) {
			t.Fatalf("%+v: answer %+v, %v", q, a, err)
		}
		seen := map[string]bool{}
		for i := range a.Nodes {
			n := &a.Nodes[i]
			if !q.Pods && len(n.Pods) > 0 {
				t.Errorf("%d pods in an answer about the node", len(n.Pods))
			}
			for _, p := range n.Pods {
				if name := p.Namespace + "/" + p.Name; seen[name] {
					t.Errorf("%s comes twice", name)
				} else {
					seen[name] = true
				}
				testPod(t, h, q, &p)
			}
			cancel()
			for _, p := range n.Pods {
				if chunks, err := collect(p.Chunks); len(chunks) > 0 || !errors.Is(err, context.Canceled) {
					t.Errorf("%s/%s: after the end of ctx: %d chunks, %v", p.Namespace, p.Name, len(chunks), err)
				}
			}
		}
	}
}

// testPod reads a pod's chunks: in part, all, and all once more.
func testPod(t *testing.T, h *History, q model.Query, p *apiv1.PodChunks) {
	t.Helper()
	q.Namespace, q.Pod = p.Namespace, p.Name
	want := bytes.Join(h.Chunks(q), nil)
	p.Chunks(func([]byte, error) bool { return false })
	for range 2 {
		got, err := collect(p.Chunks)
		if !bytes.Equal(bytes.Join(got, nil), want) {
			t.Errorf("%s/%s: not the chunks that the node has", p.Namespace, p.Name)
		}
		// An error that the coverage has already may come again, or not.
		if err != nil && (h.Err == nil || !strings.Contains(err.Error(), h.Err.Error())) {
			t.Errorf("%s/%s: %v", p.Namespace, p.Name, err)
		}
		for _, b := range got {
			if c, err := chunk.Parse(b); err != nil || c.Pod.Namespace != p.Namespace || c.Pod.Name != p.Name {
				t.Errorf("%s/%s: a chunk of %+v, %v", p.Namespace, p.Name, c.Pod, err)
			}
		}
	}
}

// collect reads all chunks, and the error, which has to come last.
func collect(chunks iter.Seq2[[]byte, error]) (all [][]byte, failed error) {
	for c, err := range chunks {
		if failed != nil {
			return all, fmt.Errorf("more comes after the error %w", failed)
		}
		if failed = err; err == nil {
			all = append(all, bytes.Clone(c))
		}
	}
	return all, failed
}
