package snapshot

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// large is a fleet of 5000 nodes with 30 pods each, without a network.
type large struct {
	nodes []string
	rows  [][][]byte // by node
}

func newLarge() *large {
	l := &large{}
	slot := model.SlotOf(time.Now(), resolution) - 15
	for i := range 5000 {
		l.nodes = append(l.nodes, fmt.Sprintf("node-%04d", i))
		rows := [][]byte{rowOf("/", slot)}
		for p := range 30 {
			ns := fmt.Sprintf("team-%02d", p)
			rows = append(rows, rowOf(fmt.Sprintf("%s/web-%04d-%04d/0b9c6a5e-7f2d-4c1b-8e3a-%012d", ns, i, p, i*30+p), slot))
		}
		l.rows = append(l.rows, rows)
	}
	return l
}

func (l *large) Nodes() []string { return l.nodes }

func (l *large) Do(ctx context.Context, nodes []string, _ time.Duration, ask fanout.Ask) []fanout.Result {
	results := make([]fanout.Result, len(nodes))
	for i := range nodes {
		err := ask(ctx, i, func(int) bool { return true })
		results[i] = fanout.Result{Outcome: agents.Outcome(err), Err: err, Asked: true}
	}
	return results
}

func (l *large) Latest(_ context.Context, node string, q wire.Latest, _ func(int) bool) (agents.Latest, error) {
	i, err := strconv.Atoi(strings.TrimPrefix(node, "node-"))
	return agents.Latest{Chunks: l.rows[i], Resolution: resolution, Retention: 24 * time.Hour}, err
}

// BenchmarkSnapshot is what 5000 nodes with 150,000 pods cost beside the network
// and the answers' bytes.
func BenchmarkSnapshot(b *testing.B) {
	l := newLarge()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s := New(resolution, l, l, l, prometheus.NewRegistry())
	b.Cleanup(s.Close)
	fly := func(slot int64) {
		s.mu.Lock()
		s.start(slot, l.nodes)
		f := s.flight
		s.mu.Unlock()
		<-f.done
	}
	slot := s.shown()
	fly(slot)
	v := s.current.Load()
	b.Run("refresh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			slot += 15
			fly(slot)
		}
		b.ReportMetric(float64(heap()-before)/5000, "bytes/node")
	})
	b.Run("all parts", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for range v.Parts("", "", "") {
				n++
			}
			if n != 150_000 {
				b.Fatalf("%d pods", n)
			}
		}
	})
	b.Run("parts of a namespace", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range v.Parts("team-07", "", "") {
			}
		}
	})
	b.Run("candidates", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n := len(v.Candidates("team-07", "web-0001-0007")); n != 1 {
				b.Fatalf("%d nodes", n)
			}
		}
	})
}
