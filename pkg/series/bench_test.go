package series

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// nowhere is an Out that forgets, and counts bytes.
type nowhere struct{ bytes int }

func (n *nowhere) Chunk(b []byte) error {
	n.bytes += len(b)
	return nil
}

func (n *nowhere) Binned(values, weights []byte) error {
	n.bytes += len(values) + len(weights)
	return nil
}

// full makes the chunk of a whole block with the metrics that a kubelet gives:
// most in each slot, some in every fourth.
func full(tb testing.TB, ref model.PodRef, names ...string) []byte {
	b := chunk.NewBuilder(chunk.Header{Pod: ref, Block: t0, Resolution: resolution * time.Second})
	for i := range uint64(60) {
		var samples []model.Sample
		for j, name := range names {
			x := (i*7+uint64(j))*0x9E3779B97F4A7C15 + 1 // noise
			s := model.Sample{Name: name, Start: t0 - 1000}
			s.Set(model.Measured, t0+i*15+x>>62)
			s.Set(model.CPU, x>>37)
			s.Set(model.CPUTotal, i*15e9+x>>38)
			s.Set(model.WorkingSet, x>>42<<12)
			s.Set(model.Usage, x>>42<<12+4096)
			s.Set(model.RSS, x>>43<<12)
			if i%4 == 0 {
				s.Set(model.NetworkRx, i*1e6+x>>40)
				s.Set(model.RootFS, 1<<30)
				s.Set(model.PSICPUSome, i*1e4+x>>50)
			}
			samples = append(samples, s)
		}
		if err := b.Append(t0+int64(i)*resolution, samples); err != nil {
			tb.Fatal(err)
		}
	}
	return b.AppendChunk(nil)
}

// BenchmarkNarrow is what a chunk of 15 minutes costs an agent, and how many
// bytes are sent of it.
func BenchmarkNarrow(b *testing.B) {
	shown := model.MetricsOf(model.CPU, model.WorkingSet)
	for name, ref := range map[string]model.PodRef{"node": {}, "pod": cart} {
		names := []string{""}
		if name == "pod" {
			names = []string{"", "app", "envoy"}
		}
		for kind, q := range map[string]model.Query{
			"stored":    {From: t0, To: t0 + 899},
			"all":       {From: t0, To: t0 + 898, Metrics: shown | model.MetricsOf(model.RSS)},
			"metrics":   {From: t0, To: t0 + 899, Metrics: shown, NoOwn: ref != model.PodRef{}},
			"container": {From: t0, To: t0 + 899, Metrics: shown, Container: "app"},
			"last slot": {From: t0 + 885, To: t0 + 899, Metrics: shown},
			"step 1m":   {From: t0, To: t0 + 899, Metrics: shown, Step: 60, Agg: model.Mean},
			"step 15m":  {From: t0, To: t0 + 899, Metrics: shown, Step: 900, Agg: model.Mean},
		} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				stored := full(b, ref, names...)
				out := new(nowhere)
				n := NewNarrower(q, out)
				b.ReportAllocs()
				for b.Loop() {
					if err := n.Add(stored); err != nil {
						b.Fatal(err)
					}
					if err := n.release(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(stored)), "stored-B")
				b.ReportMetric(float64(out.bytes)/float64(b.N), "sent-B")
			})
		}
	}
}
