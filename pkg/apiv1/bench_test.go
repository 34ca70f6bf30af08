package apiv1

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// countCPU reports the CPU time of each run of a benchmark: on a busy machine
// the time that it takes says little. What it returns is to be called at the
// end.
func countCPU(b *testing.B) func() {
	began := cpuTime(b)
	return func() {
		b.ReportMetric(float64(cpuTime(b)-began)/float64(time.Millisecond)/float64(b.N), "cpu-ms/op")
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// nobody is a client that takes everything and keeps nothing.
type nobody struct {
	header http.Header
	bytes  int
}

func (n *nobody) Header() http.Header { return n.header }
func (n *nobody) WriteHeader(int)     {}
func (n *nobody) Write(b []byte) (int, error) {
	n.bytes += len(b)
	return len(b), nil
}

// noise sets what a kubelet says of an entity.
func noise(r *rand.Rand, s *model.Sample) {
	s.Start = t0 - r.Int64N(1e6)
	s.Set(model.Measured, t0+r.Uint64N(15))
	s.Set(model.CPU, r.Uint64N(1e9))
	s.Set(model.CPUTotal, r.Uint64N(1e15))
	s.Set(model.Usage, r.Uint64N(1<<20)<<12)
	s.Set(model.WorkingSet, r.Uint64N(1<<20)<<12)
	s.Set(model.RSS, r.Uint64N(1<<20)<<12)
}

// snapshot is 150,000 pods on 5000 nodes, with 225,000 containers of 400 names
// and one sample each.
func snapshot(tb testing.TB) *fake {
	r := rand.New(rand.NewPCG(1, 2))
	var parts []Part
	var b chunk.Builder
	for i := range 150_000 {
		ref := model.PodRef{
			Namespace: fmt.Sprintf("team-%03d", i/300), Name: fmt.Sprintf("service-%06d-6d4cf56db6-x7k2p", i),
			UID: fmt.Sprintf("0b1c2d3e-1234-5678-9abc-%012d", i),
		}
		samples := make([]model.Sample, 2+i%2)
		for j := range samples {
			noise(r, &samples[j])
			if j > 0 {
				samples[j].Name = []string{"", "istio-proxy", fmt.Sprintf("service-%02d", r.IntN(400))}[3-j]
			}
		}
		b.Reset(chunk.Header{Pod: ref, Block: t0, Resolution: 15 * time.Second})
		if err := b.Append(t0, samples); err != nil {
			tb.Fatal(err)
		}
		c, err := chunk.Parse(b.AppendChunk(nil))
		if err != nil {
			tb.Fatal(err)
		}
		parts = append(parts, Part{Node: fmt.Sprintf("node-%04d", i%5000), Chunk: c})
	}
	return &fake{answer: Answer{
		Coverage: coverage.Coverage{Expected: 5000, Asked: 5000, Answered: 5000},
		Parts: func(yield func(Part) bool) {
			for i := range parts {
				if !yield(parts[i]) {
					return
				}
			}
		},
	}}
}

// BenchmarkSnapshot is the decoding and rendering of the newest sample of all
// containers of 5000 nodes.
func BenchmarkSnapshot(b *testing.B) {
	h := New(Config{Resolution: 15 * time.Second, Timeout: time.Second}, snapshot(b))
	for _, encoding := range []string{"identity", "gzip", "zstd"} {
		b.Run(encoding, func(b *testing.B) {
			b.ReportAllocs()
			defer countCPU(b)()
			w := &nobody{header: http.Header{}}
			for b.Loop() {
				clear(w.header)
				w.bytes = 0
				r := httptest.NewRequest(http.MethodGet, "/api/v1/pod?latest=true", nil)
				r.Header.Set("Accept-Encoding", encoding)
				h.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(w.bytes), "sent-B")
		})
	}
}

// hundredThousand are the chunks of 100,000 points: 40 samples of 2500 nodes.
func hundredThousand(tb testing.TB) *fake {
	r := rand.New(rand.NewPCG(3, 4))
	f := &fake{always: true, answer: Answer{Coverage: coverage.Coverage{Expected: 2500, Asked: 2500, Answered: 2500}}}
	for i := range 2500 {
		b := chunk.NewBuilder(chunk.Header{Block: t0, Resolution: 15 * time.Second})
		for slot := range int64(40) {
			var s model.Sample
			s.Start = t0
			s.Set(model.CPU, r.Uint64N(64e9))
			s.Set(model.WorkingSet, r.Uint64N(1<<26)<<12)
			if err := b.Append(t0+15*slot, []model.Sample{s}); err != nil {
				tb.Fatal(err)
			}
		}
		f.answer.Nodes = append(f.answer.Nodes, NodeAnswer{Node: fmt.Sprintf("node-%04d", i), Chunks: [][]byte{b.AppendChunk(nil)}})
	}
	return f
}

// BenchmarkRender is the JSON of 100,000 points that are decoded already, as it
// is written here and by encoding/json.
func BenchmarkRender(b *testing.B) {
	p := params{from: t0, to: t0 + 900, metrics: []model.Metric{model.CPU, model.WorkingSet}}
	answer, err := hundredThousand(b).Ask(b.Context(), Question{})
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	var all []*entity
	points := 0
	m := newMerger(p, &answer)
	for name, own := range m.nodes() {
		names, all = append(names, name), append(all, own)
		m.used = nil // it stays
		points += own.len()
	}
	if points != 100_000 {
		b.Fatalf("%d points", points)
	}
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		defer countCPU(b)()
		for b.Loop() {
			r := newRenderer(p, io.Discard)
			for i, e := range all {
				r.buf = append(r.buf, `{"name":`...)
				r.name(names[i])
				r.points(e)
				r.buf = append(r.buf, '}')
			}
			r.flush(true)
		}
	})
	type point struct {
		Timestamp int64   `json:"timestamp"`
		CPU       *uint64 `json:"cpu,omitempty"`
		Memory    *uint64 `json:"memory,omitempty"`
	}
	type node struct {
		Name    string  `json:"name"`
		Metrics []point `json:"metrics"`
	}
	var nodes []node
	for i, e := range all {
		n := node{Name: names[i]}
		for j := range e.slots.Points() {
			p := &e.slots.Points()[j]
			v := e.slots.Values(p)
			n.Metrics = append(n.Metrics, point{p.Slot, &v[0], &v[1]})
		}
		nodes = append(nodes, n)
	}
	b.Run("encoding json", func(b *testing.B) {
		b.ReportAllocs()
		defer countCPU(b)()
		for b.Loop() {
			if err := json.NewEncoder(io.Discard).Encode(nodes); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkAnswer is a whole answer of 100,000 points, from coded chunks to
// JSON.
func BenchmarkAnswer(b *testing.B) {
	f := hundredThousand(b)
	for name, query := range map[string]string{"slots": "", "steps": "&step=1m"} {
		b.Run(name, func(b *testing.B) {
			h := New(Config{Resolution: 15 * time.Second, Timeout: time.Second}, f)
			b.ReportAllocs()
			defer countCPU(b)()
			for b.Loop() {
				h.ServeHTTP(&nobody{header: http.Header{}}, httptest.NewRequest(http.MethodGet, "/api/v1/node?start=1795230000&end=1795230900"+query, nil))
			}
		})
	}
}
