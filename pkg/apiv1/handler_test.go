package apiv1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/golden"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const t0 = 1795230000 // a block's start

// fake answers with what it was given, and keeps the last question.
type fake struct {
	answer Answer
	err    error
	asked  Question
	// always has nodes answer with what they have, whenever it is of.
	always bool
}

func (f *fake) Ask(_ context.Context, q Question) (Answer, error) {
	f.asked = q
	a := f.answer
	a.Nodes = append([]NodeAnswer(nil), a.Nodes...)
	for i := range a.Nodes {
		if !f.always {
			a.Nodes[i] = within(a.Nodes[i], q)
		}
	}
	a.Coverage.Missing = append([]coverage.Missing(nil), a.Coverage.Missing...)
	return a, f.err
}

// within is what a node answers to a question: nothing of another time.
func within(n NodeAnswer, q Question) NodeAnswer {
	var kept [][]byte
	for _, b := range n.Chunks {
		c, err := chunk.Parse(b)
		if err != nil || (c.Block <= q.To && c.Block+model.BlockSeconds > q.From) {
			kept = append(kept, b)
		} else if c.Pod.Namespace == q.Namespace && (q.Pod == "" || c.Pod.Name == q.Pod) {
			n.Known = true
		}
	}
	n.Chunks = kept
	return n
}

// build codes a chunk: value(slot index, entity index) is cpu in nanocores;
// memory is a thousand times the slot index in pages.
func build(t testing.TB, pod model.PodRef, from, n int, names ...string) []byte {
	t.Helper()
	block := model.BlockOf(t0 + int64(from)*15)
	b := chunk.NewBuilder(chunk.Header{Pod: pod, Block: block, Resolution: 15 * time.Second})
	for i := from; i < from+n; i++ {
		samples := make([]model.Sample, len(names))
		for j, name := range names {
			samples[j] = model.Sample{Name: name, Start: t0 - 100}
			samples[j].Set(model.CPU, uint64(i)*1_000_000+uint64(j)*500_000)
			samples[j].Set(model.WorkingSet, uint64(i)*4096)
			samples[j].Set(model.CPUTotal, uint64(i)*15_000_000_000)
			if i%4 == 0 {
				samples[j].Set(model.NetworkRx, uint64(i)*1000)
			}
		}
		if err := b.Append(t0+int64(i)*15, samples); err != nil {
			t.Fatal(err)
		}
	}
	return b.AppendChunk(nil)
}

// fleet is three expected nodes of which one is missing: node-1 and node-3
// with three pods, one of which moved from one to the other.
func fleet(t testing.TB) *fake {
	pod := func(ns, name, uid string) model.PodRef { return model.PodRef{Namespace: ns, Name: name, UID: uid} }
	return &fake{answer: Answer{
		Nodes: []NodeAnswer{
			{Node: "node-3", Chunks: [][]byte{
				build(t, pod("shop", "web-0", "uid-2"), 4, 4, "", "web"),
				build(t, pod("batch", "job", "uid-3"), 0, 2, "", "main", "envoy"),
			}},
			{Node: "node-1", Chunks: [][]byte{
				build(t, pod("shop", "web-0", "uid-1"), 0, 4, "", "web"),
				build(t, pod("shop", "cart", "uid-4"), 0, 8, "", "cart"),
			}},
		},
		Coverage: coverage.Coverage{Expected: 3, Asked: 3, Answered: 2, Missing: []coverage.Missing{
			{Node: "node-2", Outcome: coverage.Timeout, Elapsed: 1500 * time.Millisecond, Err: "no answer within 1.5s"},
		}},
	}}
}

func nodeFleet(t testing.TB) *fake {
	f := fleet(t)
	for i := range f.answer.Nodes {
		f.answer.Nodes[i].Chunks = [][]byte{build(t, model.PodRef{}, 0, 8, "")}
	}
	return f
}

func complete(f *fake) *fake {
	f.answer.Coverage = coverage.Coverage{Expected: 2, Asked: 2, Answered: 2}
	return f
}

func get(f Source, path string) *httptest.ResponseRecorder {
	h := New(Config{Resolution: 15 * time.Second, Timeout: 5 * time.Second}, f)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

const span = "start=1795230000&end=1795230105"

func TestGolden(t *testing.T) {
	cases := []struct {
		name, path string
		source     *fake
		status     int
	}{
		{"nodes", "/api/v1/node?" + span, nodeFleet(t), 200},
		{"node", "/api/v1/node/node-1?" + span, complete(nodeFleet(t)), 200},
		{"pods", "/api/v1/pod?" + span, fleet(t), 200},
		{"namespace", "/api/v1/pod/shop?" + span, fleet(t), 200},
		{"pod that moved", "/api/v1/pod/shop/web-0?" + span, complete(fleet(t)), 200},
		{"container", "/api/v1/pod/batch/job/envoy?" + span, complete(fleet(t)), 200},
		{"step", "/api/v1/node?step=1m&metrics=cpu,memory,cpuTotal,networkRx&" + span, nodeFleet(t), 200},
		{"step max", "/api/v1/node?step=60&agg=max&" + span, nodeFleet(t), 200},
		{"metrics of pods", "/api/v1/pod/shop?metrics=networkRx,rss&" + span, fleet(t), 200},
		{"window part", "/api/v1/node?start=1795230020&end=2026-11-21T03:00:45Z", nodeFleet(t), 200},
		{"nothing in window", "/api/v1/pod/shop?start=1795000000&end=1795000100", fleet(t), 200},
		{"deny", "/api/v1/node?partial=deny&" + span, nodeFleet(t), 503},
		{"min too high", "/api/v1/node?partial=min:0.9&" + span, nodeFleet(t), 503},
		{"min met", "/api/v1/node?step=5m&partial=min:0.6&" + span, nodeFleet(t), 200},
		{"unknown pod", "/api/v1/pod/shop/nobody", complete(fleet(t)), 404},
		{"unknown pod, not all answered", "/api/v1/pod/shop/nobody", fleet(t), 200},
		{"unknown container", "/api/v1/pod/shop/cart/nobody?" + span, complete(fleet(t)), 404},
		{"unknown node", "/api/v1/node/nobody", &fake{err: Errorf(NotFound, `no node "nobody" is expected`)}, 404},
		{"unknown path", "/api/v1/nodes", fleet(t), 404},
		{"source fails", "/api/v1/node", &fake{err: errors.New("no roster yet")}, 503},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := get(c.source, c.path)
			if w.Code != c.status {
				t.Errorf("status %d, want %d", w.Code, c.status)
			}
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("not JSON: %s", w.Body)
			}
			got := fmt.Sprintf("GET %s\n%d %s %s\n%s", c.path, w.Code, w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"), w.Body)
			golden.Compare(t, strings.ReplaceAll(c.name, " ", "_")+".golden", got)
			if later := get(unread(t, c.source), c.path); later.Code != w.Code || later.Body.String() != w.Body.String() {
				t.Errorf("with pods that are read later: %d\n%s", later.Code, later.Body)
			}
		})
	}
}

func TestBadParameters(t *testing.T) {
	cases := map[string]string{ // query → what the message has to name
		"window=abc":              `"window": "abc"`,
		"window=-5m":              `"window"`,
		"window=0":                `"window"`,
		"start=yesterday":         `"start": "yesterday"`,
		"end=1795230885000":       "not milliseconds",
		"start=5&end=4":           `"start"`,
		"start=1&end=2&window=5m": `"window"`,
		"step=15s&window=400h":    `"step": the window has more than 50000 steps`,
		"step=7s":                 `"step": 7s is not a multiple of the resolution, 15s`,
		"step=x":                  `"step"`,
		"step=1000000h":           `"step": 1000000h0m0s is longer than any history`,
		"latest=1":                `"latest": "1" is neither true nor false`,
		"latest=true&window=5m":   `"window": there is only one point with latest=true`,
		"latest=true&start=5":     `"start"`,
		"latest=true&end=5":       `"end"`,
		"latest=true&step=5m":     `"step"`,
		"latest=true&agg=max":     `"agg"`,
		"agg=median":              `"agg": "median"`,
		"metrics=cpu,teapot":      `"teapot"`,
		"metrics=":                `"metrics"`,
		"metrics=cpu,cpu":         "cpu is given twice",
		"partial=perhaps":         `"partial": "perhaps"`,
		"partial=min:2":           `"partial": "min:2"`,
		"partial=min:NaN":         `"partial"`,
		"timeout=1h":              `"timeout": 1h0m0s is longer than 1m0s`,
		"timeout=-1":              `"timeout"`,
		"window=5m&window=6m":     `"window" is given 2 times`,
		"teapot=1":                `unknown parameter "teapot"`,
		"a=%zz":                   "query string",
		"window=" + strings.Repeat("9", 400) + "h": `"window"`,
	}
	for query, want := range cases {
		w := get(fleet(t), "/api/v1/pod?"+query)
		var body struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if w.Code != 400 || body.Error.Code != "invalid_parameter" || !strings.Contains(body.Error.Message, want) {
			t.Errorf("%s: %d %+v, want the message to have %s", query, w.Code, body, want)
		}
	}
	if w := get(fleet(t), "/api/v1/node?node=node-1"); w.Code != 400 || !strings.Contains(w.Body.String(), "/api/v1/node/node-1") {
		t.Errorf("node= on nodes: %d %s", w.Code, w.Body)
	}
	if w := get(fleet(t), "/api/v1/pod?node="); w.Code != 400 {
		t.Errorf("empty node=: %d", w.Code)
	}
}

func TestQuestion(t *testing.T) {
	f := fleet(t)
	get(f, "/api/v1/pod/shop/web-0/web?node=node-3&timeout=2s&start=1795230000&window=5m")
	want := Question{Node: "node-3", Timeout: 2 * time.Second, Query: model.Query{
		Pods: true, Namespace: "shop", Pod: "web-0", Container: "web", NoOwn: true, From: t0, To: t0 + 300,
		Metrics: model.MetricsOf(model.CPU, model.WorkingSet),
	}}
	if f.asked != want {
		t.Errorf("asked %+v, want %+v", f.asked, want)
	}
	// Only with named metrics is there a place for what a pod itself has.
	get(f, "/api/v1/pod?metrics=networkRx,cpu&step=5m&start=1795230000&window=5m")
	want = Question{Timeout: 5 * time.Second, Query: model.Query{
		Pods: true, From: t0, To: t0 + 300, Metrics: model.MetricsOf(model.CPU, model.NetworkRx), Step: 300, Agg: model.Mean,
	}}
	if f.asked != want {
		t.Errorf("asked %+v, want %+v", f.asked, want)
	}
	// A first step that is cut would change with the time of asking.
	get(f, "/api/v1/node?step=1m&start=1795230050&end=1795230200")
	if f.asked.From != t0 || f.asked.To != t0+200 {
		t.Errorf("with a step, asked %+v", f.asked)
	}
	before := time.Now().Unix()
	get(f, "/api/v1/node")
	if d := f.asked.To - f.asked.From; d < 898 || d > 900 || f.asked.To < before || f.asked.Timeout != 5*time.Second {
		t.Errorf("default window %+v", f.asked)
	}
}

func TestMethods(t *testing.T) {
	h := New(Config{Resolution: 15 * time.Second}, fleet(t))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/node", nil))
	if w.Code != 405 || !strings.Contains(w.Body.String(), "method_not_allowed") {
		t.Errorf("POST: %d %s", w.Code, w.Body)
	}
}

func TestNamespaces(t *testing.T) {
	h := New(Config{Resolution: 15 * time.Second, Namespaces: []string{"batch"}}, complete(fleet(t)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/pod?"+span, nil))
	if strings.Contains(w.Body.String(), "shop") || !strings.Contains(w.Body.String(), "job") {
		t.Errorf("all pods: %s", w.Body)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/pod/shop", nil))
	if w.Code != 404 {
		t.Errorf("another namespace: %d", w.Code)
	}
}

// A node whose answer cannot be read is missing, and the others are there.
func TestUnreadableChunks(t *testing.T) {
	good := build(t, model.PodRef{}, 0, 8, "")
	cases := map[string][]byte{
		"empty":          {},
		"garbage":        []byte("<html>"),
		"cut":            good[:len(good)-3],
		"chunk of a pod": build(t, model.PodRef{Namespace: "a", Name: "b", UID: "c"}, 0, 8, ""),
	}
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			f := complete(nodeFleet(t))
			f.answer.Nodes[0].Chunks = [][]byte{bad}
			w := get(f, "/api/v1/node?"+span)
			body := w.Body.String()
			if w.Code != 200 || !strings.Contains(body, `"answered":1`) || !strings.Contains(body, `{"node":"node-3","outcome":"truncated"`) ||
				!strings.Contains(body, `{"name":"node-1","metrics":[{"timestamp":1795230000,"cpu":0`) {
				t.Errorf("%d %s", w.Code, body)
			}
			if w := get(f, "/api/v1/node?partial=deny&"+span); w.Code != 503 {
				t.Errorf("deny: %d", w.Code)
			}
		})
	}
}

// A chunk whose rows cannot be read may hold the container that is asked for:
// that is no 404.
func TestUnreadableContainerIsNotUnknown(t *testing.T) {
	f := complete(fleet(t))
	c := f.answer.Nodes[0].Chunks[0]
	f.answer.Nodes[0].Chunks = [][]byte{c[:len(c)-3]}
	f.answer.Nodes = f.answer.Nodes[:1]
	w := get(f, "/api/v1/pod/shop/web-0/nobody?"+span)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"outcome":"truncated"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestClientGone(t *testing.T) {
	f := complete(nodeFleet(t))
	for i := range 2000 {
		f.answer.Nodes = append(f.answer.Nodes, NodeAnswer{Node: fmt.Sprint(i), Chunks: f.answer.Nodes[0].Chunks})
	}
	w := &brokenPipe{header: http.Header{}}
	New(Config{Resolution: 15 * time.Second}, f).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/node?"+span, nil))
	if w.writes != 1 {
		t.Errorf("%d writes to a client that is gone", w.writes)
	}
}

type brokenPipe struct {
	header http.Header
	writes int
}

func (b *brokenPipe) Header() http.Header { return b.header }
func (b *brokenPipe) WriteHeader(int)     {}
func (b *brokenPipe) Write([]byte) (int, error) {
	b.writes++
	return 0, errors.New("broken pipe")
}
