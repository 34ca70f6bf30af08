package agents

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

func TestLatest(t *testing.T) {
	f := newFleet(t)
	want := wire.Latest{To: 1795230885, Since: 1795230000}
	f.serve(f.agentTLS(node), func(w http.ResponseWriter, r *http.Request) {
		got, err := wire.ParseLatest(r.URL.Query())
		if r.URL.Path != wire.LatestPath || got != want || err != nil {
			t.Errorf("asked %s: %+v, %v", r.URL.Path, got, err)
		}
		w.Header().Set("Content-Type", wire.ContentType)
		out, _ := wire.NewWriter(w, &wire.Header{Node: node, Resolution: 15, Retention: 86400})
		_ = out.Chunk([]byte("the node"))
		_ = out.Chunk([]byte("a pod"))
		_ = out.Pod("batch", "job-1")
		_ = out.Pod("batch", "job-2")
		_ = out.End(true, nil)
	})
	var taken int
	got, err := f.client(Config{}).Latest(t.Context(), node, want, func(n int) bool { taken += n; return true })
	if err != nil {
		t.Fatal(err)
	}
	if want := (Latest{
		Resolution: 15 * time.Second, Retention: 24 * time.Hour,
		Chunks: [][]byte{[]byte("the node"), []byte("a pod")},
		Pods:   []PodName{{"batch", "job-1"}, {"batch", "job-2"}},
	}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if taken < 50 || taken > 200 {
		t.Errorf("%d bytes were taken", taken)
	}
}

// Ahead is by how much the node's clock is ahead, less the time that the answer took
// and up to a millisecond, the unit in which it is told. Old agents do not tell.
func TestLatestAhead(t *testing.T) {
	f := newFleet(t)
	c := f.client(Config{})
	for name, ahead := range map[string]time.Duration{"right": 0, "ahead": time.Hour, "behind": -time.Hour, "a century behind": -100 * 365 * 24 * time.Hour} {
		f.serve(f.agentTLS(node), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", wire.ContentType)
			out, _ := wire.NewWriter(w, &wire.Header{Node: node, Resolution: 15, Time: uint64(time.Now().Add(ahead).UnixMilli())})
			_ = out.End(true, nil)
		})
		began := time.Now()
		got, err := c.Latest(t.Context(), node, wire.Latest{}, nil)
		if err != nil || got.Ahead > ahead || got.Ahead < ahead-time.Since(began)-time.Millisecond {
			t.Errorf("%s: %v, %v, want %v", name, got.Ahead, err, ahead)
		}
	}
	f.serve(f.agentTLS(node), func(w http.ResponseWriter, _ *http.Request) { _ = begin(w, node, "x").End(true, nil) })
	if got, err := c.Latest(t.Context(), node, wire.Latest{}, nil); err != nil || got.Ahead != 0 {
		t.Errorf("an old agent's: %v, %v", got.Ahead, err)
	}
}

func TestLatestIsBounded(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), frames(node, strings.Repeat("x", maxLatest)))
	c := f.client(Config{})
	got, err := c.Latest(t.Context(), node, wire.Latest{}, nil)
	// The fake does not know the path, which is version skew.
	if Outcome(err) != coverage.VersionSkew || got.Chunks != nil {
		t.Errorf("got %v, %v", got, err)
	}
	f.serve(f.agentTLS(node), func(w http.ResponseWriter, _ *http.Request) {
		_ = begin(w, node, strings.Repeat("x", maxLatest)).End(true, nil)
	})
	if got, err = c.Latest(t.Context(), node, wire.Latest{}, nil); Outcome(err) != coverage.OverBudget || !strings.Contains(err.Error(), "1MiB") || got.Chunks != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestBinned(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), func(w http.ResponseWriter, _ *http.Request) {
		out := begin(w, node, "chunk")
		_ = out.Binned([]byte("sums"), []byte("weights"))
		_ = out.Binned([]byte("largest"), nil)
		_ = out.End(true, nil)
	})
	got, err := f.client(Config{}).Ask(t.Context(), node, model.Query{To: 900, Step: 60, Agg: model.Mean}, nil)
	want := apiv1.NodeAnswer{Node: node, Known: true, Chunks: [][]byte{[]byte("chunk")}, Binned: []apiv1.Binned{
		{Values: []byte("sums"), Weights: []byte("weights")}, {Values: []byte("largest")},
	}}
	if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestProbe(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), func(w http.ResponseWriter, r *http.Request) {
		q, err := wire.ParseQuery(r.URL.Query())
		if now := time.Now().Unix(); err != nil || q.Pods || q.To > now || q.To < now-60 || q.To-q.From != 60 {
			t.Errorf("asked %+v, %v", q, err)
		}
		frames(node, "x")(w, r)
	})
	c := f.client(Config{})
	if err := c.Probe(t.Context(), node); err != nil {
		t.Error(err)
	}
	f.serve(f.agentTLS(node), frames("node-2", "x"))
	if err := c.Probe(t.Context(), node); Outcome(err) != coverage.Unauthorized {
		t.Errorf("another's answer: %v", err)
	}
}

func TestOverBudgetTellsTheWayOut(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), frames(node, strings.Repeat("x", 3<<20)))
	_, err := f.client(Config{NodeBudget: 2 << 20}).Ask(t.Context(), node, model.Query{}, nil)
	if err == nil {
		t.Fatal("it fits")
	}
	for _, text := range []string{"2MiB", "step=", "window", "namespace"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}
