package apiv1

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/series"
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

// What a node says of another time than it was asked for is no answer.
func TestAnotherTime(t *testing.T) {
	ref := podRef("shop", "web-0")
	for name, far := range map[string]int{"hours ago": -1200, "hours ahead": 1200, "the block before": -60, "the block after": 60} {
		f := complete(&fake{always: true, answer: Answer{Nodes: []NodeAnswer{
			{Node: "node-1", Known: true, Chunks: [][]byte{build(t, podRef("shop", "web-1"), 0, 8, "web")}},
			{Node: "node-2", Known: true, Chunks: [][]byte{build(t, ref, far, 2, "web")}},
		}}})
		for path, status := range map[string]int{"/api/v1/pod?": 200, "/api/v1/pod/shop/web-0?": 200, "/api/v1/pod?partial=deny&": 503} {
			w := get(f, path+span)
			if w.Code != status || !strings.Contains(w.Body.String(), `{"node":"node-2","outcome":"truncated"`) {
				t.Errorf("%s, %s: %d %s", name, path, w.Code, w.Body)
			}
		}
	}
}

// A node that makes up more slots than a day has is rendered all the same.
func TestManySlots(t *testing.T) {
	const slots = 2 * maxStamps
	var chunks [][]byte
	for at := 0; at < slots; at += 60 {
		chunks = append(chunks, build(t, model.PodRef{}, at, 60, ""))
	}
	f := complete(&fake{answer: Answer{Nodes: []NodeAnswer{{Node: "node-1", Chunks: chunks}, {Node: "node-2", Chunks: chunks}}}})
	rest := get(f, fmt.Sprintf("/api/v1/node?start=%d&end=%d", t0, t0+15*slots)).Body.String()
	for at := range 2 * slots {
		want := fmt.Sprintf("%d", t0+15*(at%slots))
		_, after, found := strings.Cut(rest, `{"timestamp":`)
		if !found || !strings.HasPrefix(after, want+",") {
			t.Fatalf("point %d is %.30s, want %s", at, after, want)
		}
		rest = after
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

func podRef(namespace, name string) model.PodRef {
	return model.PodRef{Namespace: namespace, Name: name, UID: "uid-1"}
}

func mustParse(t testing.TB, b []byte) chunk.Chunk {
	t.Helper()
	c, err := chunk.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listed returns the source with the chunks of pods as sorted parts. keep tells
// which stay with their nodes.
func listed(t *testing.T, f *fake, keep func(i int) bool) *fake {
	t.Helper()
	changed := &fake{answer: f.answer, err: f.err}
	changed.answer.Nodes = slices.Clone(f.answer.Nodes)
	// As in an answer about pods the nodes' order is that of their names.
	slices.SortFunc(changed.answer.Nodes, func(a, b NodeAnswer) int { return strings.Compare(a.Node, b.Node) })
	var parts []Part
	for i := range changed.answer.Nodes {
		n := &changed.answer.Nodes[i]
		var kept [][]byte
		for j, b := range n.Chunks {
			if keep(i + j) {
				kept = append(kept, b)
			} else {
				parts = append(parts, Part{Node: n.Node, Chunk: mustParse(t, b)})
			}
		}
		n.Chunks = kept
	}
	slices.SortStableFunc(parts, func(a, b Part) int {
		x, y := a.Chunk.Pod, b.Chunk.Pod
		x.UID, y.UID = "", ""
		return x.Compare(y)
	})
	changed.answer.Parts = slices.Values(parts)
	return changed
}

// What comes sorted is shown as what comes by node.
func TestParts(t *testing.T) {
	for _, route := range []string{"", "/shop", "/shop/web-0", "/shop/web-0/web", "/shop/cart", "/batch", "/nowhere", "/shop/nobody", "/shop/cart/nobody", "/batch/job/envoy"} {
		for _, query := range []string{"", "&step=1m", "&metrics=cpu", "&partial=deny", "&step=15s&agg=last&metrics=networkRx"} {
			path := "/api/v1/pod" + route + "?" + span + query
			want := get(complete(fleet(t)), path)
			for name, keep := range map[string]func(int) bool{
				"all": func(int) bool { return false }, "half": func(i int) bool { return i%2 == 0 }, "none": func(int) bool { return true },
			} {
				if got := get(listed(t, complete(fleet(t)), keep), path); got.Code != want.Code || got.Body.String() != want.Body.String() {
					t.Errorf("%s of %s: %d %s\nwant %d %s", name, path, got.Code, got.Body, want.Code, want.Body)
				}
			}
		}
	}
}

// A part that cannot be read makes its node a missing one.
func TestUnreadablePart(t *testing.T) {
	b := build(t, podRef("shop", "cart"), 0, 8, "", "cart")
	f := complete(&fake{})
	f.answer.Parts = slices.Values([]Part{{Node: "node-1", Chunk: mustParse(t, b[:len(b)-2])}, {Node: "node-2", Chunk: mustParse(t, build(t, podRef("shop", "web"), 0, 1, "web"))}})
	for path, status := range map[string]int{
		"/api/v1/pod?": 200, "/api/v1/pod?partial=deny&": 503, "/api/v1/pod/shop/cart/nobody?": 200,
	} {
		w := get(f, path+span)
		if w.Code != status || !strings.Contains(w.Body.String(), `"answered":1,"complete":false,"missing":[{"node":"node-1","outcome":"truncated"`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// Of many samples only the newest is shown, if it is not of a slot that is being
// sampled, and not too old.
func TestLatest(t *testing.T) {
	for at, points := range map[int64]int{1795230105 + 8: 0, 1795230105 + 9: 2, 1795230105 + 9 + 45: 2, 1795230105 + 9 + 60: 0} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Unix(at, 0)))
			w := get(complete(fleet(t)), "/api/v1/pod/shop?latest=true")
			got := strings.Count(w.Body.String(), `"timestamp":1795230105`)
			if all := strings.Count(w.Body.String(), `"timestamp"`); w.Code != 200 || got != points || all > 2 || (points == 2 && all != 2) {
				t.Errorf("%d s after the newest slot began: %d %s", at-1795230105, w.Code, w.Body)
			}
		})
	}
	synctest.Test(t, latest)
	synctest.Test(t, func(t *testing.T) { // the slot ends just after the question
		time.Sleep(time.Until(time.Unix(1795230105+8, 0)))
		f := complete(fleet(t))
		f.answer.Slot = 1795230105
		if w := get(f, "/api/v1/pod/shop?latest=true"); strings.Count(w.Body.String(), `"timestamp":1795230105`) != 2 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func latest(t *testing.T) {
	time.Sleep(time.Until(time.Unix(1795230125, 0)))
	f := complete(fleet(t))
	w := get(f, "/api/v1/pod/shop?latest=true&partial=deny&timeout=3s&node=node-1")
	const want = `{"pods":[{"namespace":"shop","name":"cart","containers":[{"name":"cart","metrics":[{"timestamp":1795230105,"cpu":8,"memory":28672}]}]},` +
		`{"namespace":"shop","name":"web-0","containers":[{"name":"web","metrics":[{"timestamp":1795230105,"cpu":8,"memory":28672}]}]}],`
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), want) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if q := f.asked; !q.Latest || q.Step != 0 || q.To%15 != 0 || q.To-q.From != 45 || q.Node != "node-1" || q.Metrics != model.MetricsOf(model.CPU, model.WorkingSet) {
		t.Errorf("asked %+v", q)
	}
	if age := time.Now().Unix() - f.asked.To; age < 9 || age > 25 {
		t.Errorf("the last slot that was sampled began %d s ago", age)
	}
}

// binned narrows the chunks of all nodes to steps, as agents do.
func binned(t *testing.T, f *fake, q model.Query) *fake {
	t.Helper()
	changed := &fake{answer: f.answer}
	changed.answer.Nodes = slices.Clone(f.answer.Nodes)
	for i := range changed.answer.Nodes {
		n := &changed.answer.Nodes[i]
		chunks := n.Chunks
		n.Chunks = nil
		r := series.NewNarrower(q, nodeOut{n})
		for _, b := range chunks {
			if err := r.Add(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
	}
	return changed
}

type nodeOut struct{ n *NodeAnswer }

func (o nodeOut) Chunk(b []byte) error {
	o.n.Chunks = append(o.n.Chunks, slices.Clone(b))
	return nil
}

func (o nodeOut) Binned(values, weights []byte) error {
	o.n.Binned = append(o.n.Binned, Binned{slices.Clone(values), slices.Clone(weights)})
	return nil
}

// Steps that nodes made are shown as those that are made here; also if some
// nodes made them and others did not.
func TestBinned(t *testing.T) {
	for _, agg := range []model.Aggregate{model.Mean, model.Max, model.Min, model.Last} {
		q := model.Query{Pods: true, From: t0, To: t0 + 105, Step: 60, Agg: agg}
		path := "/api/v1/pod?step=1m&metrics=cpu,cpuTotal,networkRx&agg=" + string(agg) + "&" + span
		want := get(fleet(t), path)
		got := get(binned(t, fleet(t), q), path)
		half := binned(t, fleet(t), q)
		half.answer.Nodes[0] = fleet(t).answer.Nodes[0]
		for _, w := range []*httptest.ResponseRecorder{got, get(half, path)} {
			if w.Code != 200 || w.Body.String() != want.Body.String() {
				t.Errorf("%s: %d %s\nwant %s", agg, w.Code, w.Body, want.Body)
			}
		}
	}
}

// A pod that was on two nodes within one step has what both say of it, no
// matter where the step was made.
func TestStepOnTwoNodes(t *testing.T) {
	ref := podRef("shop", "web-0")
	f := complete(&fake{answer: Answer{Nodes: []NodeAnswer{
		{Node: "node-1", Chunks: [][]byte{build(t, ref, 0, 3, "web")}}, // 0, 1 and 2 pages
		{Node: "node-2", Chunks: [][]byte{build(t, ref, 2, 1, "web")}}, // 2
	}}})
	q := model.Query{Pods: true, From: t0, To: t0 + 105, Step: 60, Agg: model.Mean}
	const path = "/api/v1/pod?step=1m&metrics=memory&" + span
	for _, source := range []*fake{f, binned(t, f, q), listed(t, f, func(int) bool { return false })} {
		if w := get(source, path); !strings.Contains(w.Body.String(), `"metrics":[{"timestamp":1795230000,"memory":5120}]`) {
			t.Errorf("%s", w.Body)
		}
	}
	// Every slot for itself has only one sample.
	if w := get(f, "/api/v1/pod?metrics=memory&"+span); strings.Count(w.Body.String(), `"memory":8192`) != 1 {
		t.Errorf("%s", w.Body)
	}
}

// Steps that cannot be are no steps.
func TestUnreadableSteps(t *testing.T) {
	q := model.Query{From: t0, To: t0 + 105, Step: 60, Agg: model.Mean}
	good := binned(t, complete(nodeFleet(t)), q)
	b := good.answer.Nodes[0].Binned[0]
	cases := map[string]Binned{
		"empty":              {},
		"garbage":            {Values: []byte("<html>"), Weights: b.Weights},
		"values cut":         {Values: b.Values[:len(b.Values)-3], Weights: b.Weights},
		"weights cut":        {Values: b.Values, Weights: b.Weights[:len(b.Weights)-3]},
		"no weights":         {Values: b.Values},
		"garbage as weights": {Values: b.Values, Weights: []byte("<html>")},
		"slots":              {Values: nodeFleet(t).answer.Nodes[0].Chunks[0], Weights: nodeFleet(t).answer.Nodes[0].Chunks[0]},
		"of a pod":           {Values: build(t, podRef("a", "b"), 0, 1, ""), Weights: build(t, podRef("a", "b"), 0, 1, "")},
	}
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			f := binned(t, complete(nodeFleet(t)), q)
			f.answer.Nodes[0].Binned = []Binned{bad}
			if w := get(f, "/api/v1/node?step=1m&"+span); w.Code != 200 || !strings.Contains(w.Body.String(), `"answered":1,"complete":false,"missing":[{"node":"node-3","outcome":"truncated"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w := get(f, "/api/v1/node?step=1m&partial=deny&"+span); w.Code != 503 {
				t.Errorf("deny: %d %s", w.Code, w.Body)
			}
		})
	}
	if w := get(good, "/api/v1/node?step=1m&partial=deny&"+span); w.Code != 200 {
		t.Errorf("good steps: %d %s", w.Code, w.Body)
	}
	if w := get(good, "/api/v1/node?"+span); !strings.Contains(w.Body.String(), "steps where slots were asked for") {
		t.Errorf("nobody asked for steps: %d %s", w.Code, w.Body)
	}
}

// Of two samples of the same age in one slot that of the sorted part counts: it
// comes later.
func TestPartsComeAfterNodes(t *testing.T) {
	ref := podRef("shop", "web-0")
	chunkOf := func(cpu uint64) []byte {
		b := chunk.NewBuilder(chunk.Header{Pod: ref, Block: t0, Resolution: 15 * time.Second})
		s := model.Sample{Name: "web", Start: 1}
		s.Set(model.CPU, cpu)
		if err := b.Append(t0, []model.Sample{s}); err != nil {
			t.Fatal(err)
		}
		return b.AppendChunk(nil)
	}
	f := complete(&fake{answer: Answer{Nodes: []NodeAnswer{{Node: "node-2", Chunks: [][]byte{chunkOf(3e6)}}}}})
	f.answer.Parts = slices.Values([]Part{{Node: "node-1", Chunk: mustParse(t, chunkOf(4e6))}})
	if w := get(f, "/api/v1/pod?"+span); !strings.Contains(w.Body.String(), `"metrics":[{"timestamp":1795230000,"cpu":4}]`) {
		t.Errorf("%s", w.Body)
	}
}

// A pod may have any number of containers, in any order.
func TestManyContainers(t *testing.T) {
	f := complete(&fake{answer: Answer{Nodes: []NodeAnswer{{Node: "node-1"}}}})
	for pod := range 3 {
		for block := range 2 {
			names := []string{""}
			for i := range 30 * (pod + 1) {
				names = append(names, fmt.Sprintf("container-%02d", i))
			}
			if block == 1 {
				slices.Reverse(names)
			}
			f.answer.Nodes[0].Chunks = append(f.answer.Nodes[0].Chunks, build(t, podRef("shop", fmt.Sprint("web-", pod)), block*60, 2, names...))
		}
	}
	var got struct {
		Pods []struct {
			Containers []struct {
				Name    string
				Metrics []struct{ Timestamp int64 }
			}
		}
	}
	if err := json.Unmarshal(get(f, "/api/v1/pod?start=1795230000&window=30m").Body.Bytes(), &got); err != nil || len(got.Pods) != 3 {
		t.Fatalf("%d pods, %v", len(got.Pods), err)
	}
	for i, pod := range got.Pods {
		if len(pod.Containers) != 30*(i+1) {
			t.Errorf("pod %d: %d containers", i, len(pod.Containers))
		}
		for j, c := range pod.Containers {
			if c.Name != fmt.Sprintf("container-%02d", j) || len(c.Metrics) != 4 || c.Metrics[0].Timestamp != t0 || c.Metrics[3].Timestamp != t0+915 {
				t.Errorf("pod %d: %+v", i, c)
			}
		}
	}
}

// A node that makes up names is found out before they take all memory.
func TestTooManyNames(t *testing.T) {
	f := complete(&fake{})
	n := NodeAnswer{Node: "node-1"}
	for i := range maxNames/100 + 2 {
		names := make([]string, 100)
		for j := range names {
			names[j] = fmt.Sprintf("c-%d-%d", i, j)
		}
		n.Chunks = append(n.Chunks, build(t, podRef("shop", "cart"), 0, 1, names...))
	}
	f.answer.Nodes = append(f.answer.Nodes, n)
	w := get(f, "/api/v1/pod/shop/cart?"+span)
	if !strings.Contains(w.Body.String(), errNames.Error()) || strings.Count(w.Body.String(), `"c-`) > maxNames {
		t.Errorf("%d %.300s", w.Code, w.Body)
	}
}
