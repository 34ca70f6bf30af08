package apiv1

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// unread returns the source with all chunks of pods yet to be read.
func unread(t *testing.T, f *fake) *fake {
	t.Helper()
	changed := &fake{answer: f.answer, err: f.err}
	changed.answer.Nodes = slices.Clone(f.answer.Nodes)
	for i := range changed.answer.Nodes {
		n := &changed.answer.Nodes[i]
		own, byName := [][]byte(nil), map[model.PodRef][][]byte{}
		for _, b := range n.Chunks {
			c, err := chunk.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if c.Pod == (model.PodRef{}) {
				own = append(own, b)
				continue
			}
			c.Pod.UID = ""
			byName[c.Pod] = append(byName[c.Pod], b)
		}
		n.Chunks = own
		for ref, chunks := range byName { // in any order
			n.Pods = append(n.Pods, podOf(ref, nil, chunks...))
		}
	}
	return changed
}

// podOf is a pod whose reading yields these chunks, then perhaps an error.
// Their bytes are gone after each step.
func podOf(ref model.PodRef, err error, chunks ...[]byte) PodChunks {
	return PodChunks{Namespace: ref.Namespace, Name: ref.Name, Chunks: func(yield func([]byte, error) bool) {
		for _, b := range chunks {
			b = slices.Clone(b)
			more := yield(b, nil)
			if clear(b); !more {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}}
}

// What cannot be read when its turn comes makes its node a missing one; all
// else is there, of that pod, too.
func TestUnreadableLater(t *testing.T) {
	ref := model.PodRef{Namespace: "shop", Name: "web-0"}
	good := build(t, ref, 0, 4, "", "web")
	next := build(t, ref, 60, 4, "", "web")
	cases := map[string]PodChunks{
		"error":           podOf(ref, errors.New("bad disk"), good, next),
		"garbage":         podOf(ref, nil, good, []byte("<html>"), next),
		"empty":           podOf(ref, nil, good, nil, next),
		"cut":             podOf(ref, nil, good, next, good[:len(good)-3]),
		"another pod":     podOf(ref, nil, good, build(t, model.PodRef{Namespace: "shop", Name: "web-1"}, 0, 4, "", "web"), next),
		"chunk of a node": podOf(ref, nil, good, build(t, model.PodRef{}, 0, 4, ""), next),
	}
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			f := complete(unread(t, fleet(t)))
			f.answer.Nodes = append(f.answer.Nodes, NodeAnswer{Node: "node-4", Pods: []PodChunks{bad}})
			f.answer.Coverage.Expected, f.answer.Coverage.Answered = 3, 3
			const whole = "start=1795230000&end=1795231800"
			w := get(f, "/api/v1/pod/shop?"+whole)
			body := w.Body.String()
			if w.Code != 200 || !strings.Contains(body, `"answered":2,"complete":false,"missing":[{"node":"node-4","outcome":"truncated"`) ||
				strings.Count(body, `"timestamp"`) != 8+8+4 {
				t.Errorf("%d %s", w.Code, body)
			}
			for path, status := range map[string]int{
				"/api/v1/pod/shop?partial=deny&":      503,
				"/api/v1/pod/shop?partial=min:0.6&":   200,
				"/api/v1/pod/shop/web-0/nobody?":      200, // it may be in what cannot be read
				"/api/v1/pod/shop/cart/nobody?":       404,
				"/api/v1/pod/batch/job?partial=deny&": 503, // a node that cannot read all is missing
			} {
				if w := get(f, path+whole); w.Code != status {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
		})
	}
}

// Chunks that are here and chunks that are read later make one pod.
func TestChunksOfBothKinds(t *testing.T) {
	ref := model.PodRef{Namespace: "shop", Name: "web-0", UID: "uid-1"}
	f := complete(&fake{answer: Answer{Nodes: []NodeAnswer{
		{Node: "node-1", Chunks: [][]byte{build(t, ref, 4, 4, "web")}},
		{Node: "node-2", Pods: []PodChunks{podOf(ref, nil, build(t, ref, 0, 4, "web"))}},
	}}})
	want := complete(&fake{answer: Answer{Nodes: []NodeAnswer{
		{Node: "node-1", Chunks: [][]byte{build(t, ref, 0, 8, "web")}},
	}}})
	const path = "/api/v1/pod?" + span
	if got, want := get(f, path).Body.String(), get(want, path).Body.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The client of a long answer goes away: what follows is not read.
func TestClientGoneBeforeAllIsRead(t *testing.T) {
	f := complete(&fake{answer: Answer{Nodes: []NodeAnswer{{Node: "node-1"}}}})
	read := 0
	for _, name := range []string{"a", "b", "c"} {
		ref := model.PodRef{Namespace: "shop", Name: name}
		var day [][]byte
		for block := range 96 {
			day = append(day, build(t, ref, block*60, 60, "web"))
		}
		p := podOf(ref, nil, day...)
		chunks := p.Chunks
		p.Chunks = func(yield func([]byte, error) bool) { read++; chunks(yield) }
		f.answer.Nodes[0].Pods = append(f.answer.Nodes[0].Pods, p)
	}
	w := &brokenPipe{header: http.Header{}}
	New(Config{Resolution: 15 * time.Second}, f).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/pod?start=1795230000&window=24h", nil))
	if w.writes != 1 || read != 1 {
		t.Errorf("%d writes to a client that is gone, %d pods read", w.writes, read)
	}
}
