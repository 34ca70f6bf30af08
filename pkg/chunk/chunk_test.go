package chunk

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const block = 1795230000 // a multiple of 900

var testHeader = Header{
	Pod:        model.PodRef{Namespace: "shop", Name: "cart-5dc9c6f44c-pjpvz", UID: "c681fa82-3333-4a67-a364-52b1051b6901"},
	Block:      block,
	Resolution: 15 * time.Second,
}

// tick is the samples of one slot.
type tick struct {
	slot    int64
	samples []model.Sample
}

func sample(name string, start int64, kv ...uint64) model.Sample {
	s := model.Sample{Name: name, Start: start}
	for i := 0; i < len(kv); i += 2 {
		s.Set(model.Metric(kv[i]), kv[i+1])
	}
	return s
}

const (
	measured = uint64(model.Measured)
	cpu      = uint64(model.CPU)
	total    = uint64(model.CPUTotal)
	ws       = uint64(model.WorkingSet)
	usage    = uint64(model.Usage)
	rootfs   = uint64(model.RootFS)
)

func TestRoundTrip(t *testing.T) {
	cases := map[string][]tick{
		"one sample":         {{block, []model.Sample{sample("", 0, cpu, 0)}}},
		"nothing changes":    {{block, []model.Sample{sample("", 5, cpu, 7)}}, {block + 15, []model.Sample{sample("", 5, cpu, 7)}}},
		"gap of slots":       {{block + 30, []model.Sample{sample("", 5, cpu, 7)}}, {block + 885, []model.Sample{sample("", 5, cpu, 8)}}},
		"counter reset":      {{block, []model.Sample{sample("", 5, total, math.MaxUint64)}}, {block + 15, []model.Sample{sample("", 5, total, 3)}}},
		"working set > used": {{block, []model.Sample{sample("", 5, ws, 8192, usage, 4096)}}, {block + 15, []model.Sample{sample("", 5, ws, 1, usage, 0)}}},
		"working set alone":  {{block, []model.Sample{sample("", 5, ws, 4096, usage, 8192)}}, {block + 15, []model.Sample{sample("", 5, ws, 12288)}}},
		"not in pages":       {{block, []model.Sample{sample("", 5, rootfs, 4097)}}, {block + 15, []model.Sample{sample("", 5, rootfs, 4095)}}, {block + 30, []model.Sample{sample("", 5, rootfs, math.MaxUint64)}}},
		"comes and goes": {
			{block, []model.Sample{sample("", 5, cpu, 7, rootfs, 4096)}},
			{block + 15, []model.Sample{sample("", 5, cpu, 7)}},
			{block + 30, []model.Sample{sample("", 5, cpu, 9, rootfs, 8192)}},
			{block + 45, []model.Sample{sample("", 5)}},
			{block + 60, []model.Sample{sample("", 5, rootfs, 8192)}},
		},
		"container restart": {
			{block, []model.Sample{sample("", 5, cpu, 7), sample("app", 5, cpu, 3), sample("envoy", 6, cpu, 4)}},
			{block + 15, []model.Sample{sample("", 5, cpu, 7), sample("app", block+12, cpu, 3), sample("envoy", 6, cpu, 4)}},
			{block + 30, []model.Sample{sample("app", block+12, cpu, 1)}},
			{block + 45, []model.Sample{sample("app", 5, cpu, 7), sample("envoy", 6, cpu, 4)}},
		},
		"start before, in and after all time": {
			{block, []model.Sample{sample("a", math.MinInt64), sample("b", 0), sample("c", math.MaxInt64)}},
		},
		"measured before the slot, after it, absurdly": {
			{block, []model.Sample{sample("", 5, measured, block-14)}},
			{block + 15, []model.Sample{sample("", 5, measured, block+20)}},
			{block + 30, []model.Sample{sample("", 5, measured, math.MaxUint64)}},
			{block + 45, []model.Sample{sample("", 5, measured, 0)}},
		},
	}
	for name, ticks := range cases {
		t.Run(name, func(t *testing.T) { checkRoundTrip(t, ticks) })
	}
}

// checkRoundTrip builds a chunk of the ticks, once in one go and once handed
// over tuple by tuple as a restart does, and compares what is decoded.
func checkRoundTrip(t *testing.T, ticks []tick) {
	t.Helper()
	b, copied := NewBuilder(testHeader), NewBuilder(testHeader)
	for _, tick := range ticks {
		from := len(b.Body())
		if err := b.Append(tick.slot, tick.samples); err != nil {
			t.Fatal(err)
		}
		if err := copied.Extend(b.Body()[from:]); err != nil {
			t.Fatal(err)
		}
		slot, last, ok := copied.Last()
		if !ok || slot != tick.slot || !equal(last, tick.samples) {
			t.Fatalf("Last after slot %d = %d, %v, %v, want %v", tick.slot, slot, last, ok, tick.samples)
		}
	}
	bytes := copied.AppendChunk(nil)
	c, err := Parse(bytes)
	if err != nil {
		t.Fatal(err)
	}
	if c.Header != testHeader {
		t.Fatalf("header %+v, want %+v", c.Header, testHeader)
	}
	var d Decoder
	d.Reset(c)
	for _, tick := range ticks {
		got := make([]model.Sample, 0, len(tick.samples))
		for range tick.samples {
			if !d.Next() {
				t.Fatalf("slot %d: no row: %v", tick.slot, d.Err())
			}
			if d.Row().Slot != tick.slot {
				t.Fatalf("row of slot %d, want %d", d.Row().Slot, tick.slot)
			}
			got = append(got, *d.Row().Sample)
		}
		if !equal(got, tick.samples) {
			t.Fatalf("slot %d: got %v, want %v", tick.slot, got, tick.samples)
		}
	}
	if d.Next() || d.Err() != nil {
		t.Fatalf("rows after the end, or %v", d.Err())
	}
}

// equal compares samples as sets: rows come in the order of definition.
func equal(got, want []model.Sample) bool {
	if len(got) != len(want) {
		return false
	}
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || g == w
		}
		if !found {
			return false
		}
	}
	return true
}

func TestAppendRefuses(t *testing.T) {
	good := []model.Sample{sample("", 5, cpu, 7)}
	cases := map[string]tick{
		"the same slot again":     {block + 15, good},
		"a slot before":           {block, good},
		"a slot of another block": {block + 900, good},
		"a slot before the block": {block - 15, good},
		"no start of a slot":      {block + 31, good},
		"no samples":              {block + 30, nil},
		"the same entity twice":   {block + 30, []model.Sample{good[0], good[0]}},
		"a new entity twice":      {block + 30, []model.Sample{sample("x", 1), sample("x", 1)}},
		"an endless name":         {block + 30, []model.Sample{sample(string(make([]byte, 254)), 1)}},
	}
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder(testHeader)
			if err := b.Append(block+15, good); err != nil {
				t.Fatal(err)
			}
			before := len(b.Body())
			if err := b.Append(bad.slot, bad.samples); err == nil {
				t.Fatal("no error")
			}
			if len(b.Body()) != before {
				t.Fatal("a refused tick left bytes behind")
			}
			if err := b.Append(block+30, good); err != nil {
				t.Fatalf("after a refusal: %v", err)
			}
		})
	}
}

func TestAppendBoundsEntities(t *testing.T) {
	b := NewBuilder(Header{Block: block, Resolution: time.Second})
	var err error
	n := 0
	for slot := int64(block); err == nil && slot < block+900; slot++ {
		samples := make([]model.Sample, 100)
		for i := range samples {
			samples[i] = sample("app", int64(n+i))
		}
		if err = b.Append(slot, samples); err == nil {
			n += len(samples)
		}
	}
	if err == nil || n != maxEntities/100*100 {
		t.Fatalf("%d entities taken, error %v", n, err)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(60))
	f.Add(uint64(math.MaxUint64), uint64(0), uint8(3))
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64, n uint8) {
		r := rand.New(rand.NewPCG(seed1, seed2))
		var ticks []tick
		state := []model.Sample{sample("", 5), sample("app", 6), sample("envoy", 7)}
		for i := range int64(n) % 60 {
			if r.IntN(8) == 0 {
				continue
			}
			for j := range state {
				mutate(r, &state[j])
			}
			keep := r.IntN(len(state))
			ticks = append(ticks, tick{block + i*15, append([]model.Sample(nil), state[keep:]...)})
		}
		checkRoundTrip(t, ticks)
	})
}

// mutate changes some of a sample's values by steps of every size.
func mutate(r *rand.Rand, s *model.Sample) {
	if r.IntN(10) == 0 && s.Name != "" {
		s.Start += r.Int64N(1000) - 500
	}
	for m := range model.NumMetrics {
		old, _ := s.Get(m)
		switch r.IntN(6) {
		case 0:
			s.Set(m, old+r.Uint64()>>r.IntN(64))
		case 1:
			s.Set(m, old-r.Uint64()>>r.IntN(64))
		case 2:
			s.Set(m, old+4096*(r.Uint64()>>(12+r.IntN(52))))
		case 3:
			s.Unset(m)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b := NewBuilder(testHeader)
	for i := range int64(4) {
		_ = b.Append(block+i*15, []model.Sample{sample("", 5, cpu, 7*uint64(i)), sample("app", i, ws, 4096)})
	}
	f.Add(b.AppendChunk(nil))
	f.Add([]byte{})
	f.Add([]byte{version, 15, 2, 0, 0, 0, 3, 255, 31})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		var d Decoder
		d.Reset(c)
		rows, last := 0, int64(math.MinInt64)
		for d.Next() {
			if d.Row().Slot < last {
				t.Fatal("slots go back")
			}
			last = d.Row().Slot
			rows++
		}
		if rows > len(data) {
			t.Fatalf("%d rows out of %d bytes", rows, len(data))
		}
		if d.Err() != nil && !errors.Is(d.Err(), ErrCorrupt) {
			t.Fatalf("error of another kind: %v", d.Err())
		}
		if cap(d.state.entities) > 2*maxEntities {
			t.Fatalf("%d entities allocated", cap(d.state.entities))
		}
	})
}

// Cutting a chunk anywhere yields a prefix of its rows and, unless the cut is
// between two tuples, an error.
func TestTruncated(t *testing.T) {
	b := NewBuilder(testHeader)
	ends := map[int]bool{len(b.AppendChunk(nil)): true}
	for i := range int64(10) {
		if err := b.Append(block+i*15, []model.Sample{sample("", 5, cpu, 1<<(6*uint64(i))), sample("app", i/3, ws, 4096*uint64(i))}); err != nil {
			t.Fatal(err)
		}
		ends[len(b.AppendChunk(nil))] = true
	}
	whole := b.AppendChunk(nil)
	var d Decoder
	for n := range whole {
		c, err := Parse(whole[:n])
		if err != nil {
			continue
		}
		d.Reset(c)
		for d.Next() {
		}
		if ends[n] != (d.Err() == nil) {
			t.Errorf("cut at %d of %d: %v", n, len(whole), d.Err())
		}
	}
}

func TestDecodeAllocates(t *testing.T) {
	b := NewBuilder(testHeader)
	for i := range int64(60) {
		if err := b.Append(block+i*15, []model.Sample{sample("", 5, cpu, uint64(i)), sample("app", 6, ws, 4096*uint64(i))}); err != nil {
			t.Fatal(err)
		}
	}
	bytes := b.AppendChunk(nil)
	var d Decoder
	allocs := testing.AllocsPerRun(100, func() {
		c, err := Parse(bytes)
		if err != nil {
			t.Fatal(err)
		}
		d.Reset(c)
		for d.Next() {
		}
		if d.Err() != nil {
			t.Fatal(d.Err())
		}
	})
	// Three names of the pod and one of the container; none for 120 rows.
	if allocs > 4 {
		t.Fatalf("%v allocations for a chunk of 120 rows", allocs)
	}
}

func BenchmarkDecode(b *testing.B) {
	builder := NewBuilder(Header{Block: block, Resolution: 15 * time.Second})
	r := rand.New(rand.NewPCG(1, 2))
	s := sample("", 5, measured, block, cpu, 1e9, total, 1e15, ws, 1<<30, usage, 1<<31, uint64(model.RSS), 1<<29)
	for i := range int64(60) {
		for _, m := range []model.Metric{model.CPU, model.CPUTotal, model.Usage, model.RSS} {
			old, _ := s.Get(m)
			s.Set(m, old+4096*r.Uint64N(1000))
		}
		s.Set(model.Measured, uint64(block+15*i)-r.Uint64N(15))
		if err := builder.Append(block+i*15, []model.Sample{s}); err != nil {
			b.Fatal(err)
		}
	}
	bytes := builder.AppendChunk(nil)
	var d Decoder
	b.ReportAllocs()
	b.ReportMetric(float64(len(bytes)), "bytes/chunk")
	for b.Loop() {
		c, err := Parse(bytes)
		if err != nil {
			b.Fatal(err)
		}
		d.Reset(c)
		for d.Next() {
		}
	}
	b.ReportMetric(float64(len(bytes)), "bytes/chunk")
}
