package pods

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
)

// many is how many pods a large cluster has: 1000 workloads.
const many = 1000 * perWorkload

// BenchmarkKept is what is left on the heap, and what it takes to take pods over.
func BenchmarkKept(b *testing.B) {
	for name, stateful := range map[string]bool{"deployments": false, "statefulsets": true} {
		b.Run(name, func(b *testing.B) {
			var kept uint64
			var sets int
			for b.Loop() {
				b.StopTimer()
				before := heap()
				s := full(b, stateful)
				kept, sets = heap()-before, s.interner.count()
				runtime.KeepAlive(s)
				b.StartTimer()
			}
			b.ReportMetric(float64(kept)/many, "B/pod")
			b.ReportMetric(float64(sets), "label-sets")
		})
	}
}

// full is a store that has taken over many pods. Only that is timed.
func full(b *testing.B, stateful bool) *Store {
	reg := prometheus.NewRegistry()
	s := New(Config{}, follow.NewMetrics(reg), slog.New(slog.DiscardHandler), reg)
	var list []any
	for from := 0; from < many; from += pageSize {
		page := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
		for i := range pageSize {
			page.Items = append(page.Items, *realistic(from+i, stateful))
		}
		b.StartTimer()
		left, err := s.strip(page)
		if err != nil {
			b.Fatal(err)
		}
		items, err := meta.ExtractList(left)
		if err != nil {
			b.Fatal(err)
		}
		for _, item := range items {
			list = append(list, item)
		}
		b.StopTimer()
	}
	b.StartTimer()
	if err := (reflected{s}).Replace(list); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	return s
}

// heap is what is on it. Cleanups that garbage has caused have run by the second time.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSet is a change of a label among many pods: what follows of an event but
// for decoding it.
func BenchmarkSet(b *testing.B) {
	s := full(b, false)
	b.StartTimer()
	p := realistic(77777, false)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Labels["tier"] = fmt.Sprint(i % 2)
		if err := (reflected{s}).Set(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := full(b, false)
	b.StartTimer()
	for i := 0; b.Loop(); i = (i + 7919) % many {
		b.StopTimer()
		p := realistic(i, false)
		b.StartTimer()
		if _, ok := s.Get(p.Namespace, p.Name); !ok {
			b.Fatal(p.Name)
		}
	}
}

// BenchmarkAll reads a namespace of 1500 pods, and all.
func BenchmarkAll(b *testing.B) {
	s := full(b, false)
	b.StartTimer()
	for _, namespace := range []string{"team-042", ""} {
		b.Run(fmt.Sprintf("namespace=%s", namespace), func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = 0
				for p := range s.All(namespace) {
					n += len(p.Name)
				}
			}
			if n == 0 {
				b.Fatal("none")
			}
		})
	}
}
