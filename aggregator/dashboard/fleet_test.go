package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

const resolution = 15 * time.Second

// A fleet stands in for agents and who is expected.
type fleet struct {
	mu       sync.Mutex
	expected []string
	// scrape is what a node has of a slot: groups by PodRef; none if it missed it.
	scrape func(node string, slot int64) []model.Group
	past   map[string][]agents.PodName               // by node: pods that are not in its newest scrape
	late   map[string]int                            // by node: how many slots its newest scrape is behind
	hangs  map[string]bool                           // by node: it never answers
	forged map[string]func(chunks [][]byte) [][]byte // by node: what it makes of its history
	torn   map[string]bool                           // by node: its newest scrape lacks the last byte of each chunk
	partly map[string]bool                           // by node: it could read a part of its history only
	asked  []string                                  // "node: slots" of questions for history
}

func newFleet(scrape func(string, int64) []model.Group, nodes ...string) *fleet {
	return &fleet{
		expected: nodes, scrape: scrape, past: map[string][]agents.PodName{}, late: map[string]int{}, hangs: map[string]bool{},
		forged: map[string]func([][]byte) [][]byte{}, torn: map[string]bool{}, partly: map[string]bool{},
	}
}

// change does something to the fleet.
func (f *fleet) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// questions takes what was asked since the last time.
func (f *fleet) questions() (asked []string) {
	f.change(func() { asked, f.asked = f.asked, nil })
	slices.Sort(asked)
	return asked
}

func (f *fleet) Nodes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.expected)
}

func (f *fleet) Latest(ctx context.Context, node string, q wire.Latest, _ func(int) bool) (agents.Latest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hangs[node] {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return agents.Latest{}, ctx.Err()
	}
	latest := agents.Latest{Resolution: resolution, Retention: time.Hour, Pods: f.past[node]}
	newest := q.To - int64(f.late[node])*15
	for slot := newest; slot >= q.To-model.StaleSlots*15 && latest.Chunks == nil; slot -= 15 {
		latest.Chunks = f.chunks(node, model.Query{Pods: true, From: slot, To: slot}, true)
	}
	if f.torn[node] {
		for i, c := range latest.Chunks {
			latest.Chunks[i] = c[:len(c)-1]
		}
	}
	return latest, nil
}

func (f *fleet) Ask(ctx context.Context, node string, q model.Query, _ func(int) bool) (apiv1.NodeAnswer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprint(node, ": ", (q.To-q.From)/15+1))
	if f.hangs[node] {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return apiv1.NodeAnswer{}, ctx.Err()
	}
	a := apiv1.NodeAnswer{Node: node, Chunks: f.chunks(node, q, !q.Pods)}
	if forge := f.forged[node]; forge != nil {
		a.Chunks = forge(a.Chunks)
	}
	if f.partly[node] {
		return a, &agents.Error{Node: node, Outcome: coverage.Truncated, Err: errors.New("3 chunks were lost"), Part: true}
	}
	if a.Chunks == nil {
		return a, &agents.Error{Node: node, Outcome: coverage.Refused, Err: errors.New("it has forgotten everything")}
	}
	return a, nil
}

// chunks are those of a query, and the node's own if that is wanted.
func (f *fleet) chunks(node string, q model.Query, own bool) [][]byte {
	type key struct {
		pod   model.PodRef
		block int64
	}
	builders := map[key]*chunk.Builder{}
	var order []key
	for slot := q.From; slot <= q.To; slot += 15 {
		for _, g := range f.scrape(node, slot) {
			isOwn := g.Pod == model.PodRef{}
			if (isOwn && !own) || (!isOwn && (!q.Pods || (q.Namespace != "" && q.Namespace != g.Pod.Namespace))) {
				continue
			}
			k := key{g.Pod, model.BlockOf(slot)}
			if builders[k] == nil {
				builders[k] = chunk.NewBuilder(chunk.Header{Pod: g.Pod, Block: k.block, Resolution: resolution})
				order = append(order, k)
			}
			if err := builders[k].Append(slot, g.Samples); err != nil {
				panic(err)
			}
		}
	}
	slices.SortStableFunc(order, func(a, b key) int { return a.pod.Compare(b.pod) })
	chunks := [][]byte{}
	for _, k := range order {
		chunks = append(chunks, builders[k].AppendChunk(nil))
	}
	if len(chunks) == 0 {
		return nil
	}
	return chunks
}

func (*fleet) Probe(context.Context, string) error { return nil }

func (*fleet) Incarnation(string) agents.Incarnation { return agents.Incarnation{} }

// open makes a handler of the fleet, and the snapshot that it has.
func (f *fleet) open(t testing.TB, cfg Config) *Handler {
	reg := prometheus.NewRegistry()
	fan := fanout.New(fanout.Config{}, f, reg)
	s := snapshot.New(resolution, f, fan, f, reg)
	cfg.Resolution = resolution
	h := New(cfg, s, fan, f, reg)
	t.Cleanup(func() {
		h.Close()
		s.Close()
		fan.Close()
	})
	return h
}

// inBubble runs a test with a clock of its own, some seconds after a slot has begun
// to be shown, and an hour after midnight.
func inBubble(t *testing.T, test func(*testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		nextSlot()
		test(t)
	})
}

// nextSlot sleeps until the next slot is shown, and some seconds more.
func nextSlot() {
	slot := model.Shown(time.Now(), resolution)
	for model.Shown(time.Now(), resolution) == slot {
		time.Sleep(time.Second)
	}
	time.Sleep(2 * time.Second)
}

// sampleOf is a container, or with an empty name the node, that has run since 1970 at
// so many millicores and with so many bytes.
func sampleOf(name string, slot int64, milli, bytes uint64) model.Sample {
	s := model.Sample{Name: name, Start: 1}
	s.Set(model.Measured, uint64(slot)+3)
	s.Set(model.CPU, milli*1e6)
	s.Set(model.CPUTotal, (uint64(slot)+3)*milli*1e6)
	s.Set(model.WorkingSet, bytes)
	return s
}

func podOf(namespace, name string, containers ...model.Sample) model.Group {
	return model.Group{Pod: model.PodRef{Namespace: namespace, Name: name, UID: "u-" + name}, Samples: containers}
}

// An answer is one as the Dashboard reads it.
type answer struct {
	Items []struct {
		MetricPoints []struct {
			Timestamp time.Time
			Value     uint64
		}
		MetricName string
		UIDs       []string
	}
}

// ask asks for a path below the prefix, and tells how long that took.
func ask(t *testing.T, h *Handler, path string) (a answer, took time.Duration) {
	t.Helper()
	began := time.Now()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", Prefix+path, nil))
	if rec.Code != 200 || rec.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %v", path, rec.Code, rec.Header())
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
		t.Fatalf("%s: %v: %s", path, err, rec.Body)
	}
	return a, time.Since(began)
}

// series is an answer as text: "name: count, oldest .. newest", times in slots before
// the one that is shown.
func (a *answer) series() string {
	var all []string
	shown := model.Shown(time.Now(), resolution)
	before := func(t time.Time) int64 { return (shown - t.Unix()) / 15 }
	for _, item := range a.Items {
		p := item.MetricPoints
		all = append(all, fmt.Sprintf("%s: %d, %d..%d", item.UIDs[0], len(p), before(p[0].Timestamp), before(p[len(p)-1].Timestamp)))
	}
	return strings.Join(all, "; ")
}

// newest are the newest values of an answer as text.
func (a *answer) newest() string {
	var all []string
	for _, item := range a.Items {
		all = append(all, fmt.Sprint(item.UIDs[0], " ", item.MetricPoints[len(item.MetricPoints)-1].Value))
	}
	return strings.Join(all, "; ")
}

// looker looks at the shop: what of it is shown, and who was asked for that.
func (f *fleet) looker(t *testing.T, h *Handler) func(what, want, asked string) {
	return func(what, want, asked string) {
		t.Helper()
		a, _ := ask(t, h, cartAndDesk)
		expect(t, what, a.series(), want)
		expect(t, what+": asked", strings.Join(f.questions(), ", "), asked)
	}
}

// expect compares texts.
func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
