package dashboard

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// crowd is a namespace of 700 pods with one or two containers each, over 400 nodes.
func crowd(node string, slot int64) []model.Group {
	var n int
	_, _ = fmt.Sscanf(node, "node-%d", &n)
	all := []model.Group{{Samples: []model.Sample{sampleOf("", slot, 1000, 1<<30)}}}
	for pod := n; pod < 700; pod += 400 {
		containers := []model.Sample{sampleOf("app", slot, uint64(slot)%1000, 1<<26)}
		if pod%2 == 0 {
			containers = append(containers, sampleOf("sidecar", slot, uint64(slot)%10, 1<<20))
		}
		all = append(all, podOf("shop", fmt.Sprintf("checkout-7d4b9c6f5d-%04d", pod), containers...))
	}
	return all
}

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	bytes  int64
}

func (d *discard) Header() http.Header { return d.header }

func (d *discard) WriteHeader(int) {}

func (d *discard) Write(b []byte) (int, error) {
	d.bytes += int64(len(b))
	return len(b), nil
}

// BenchmarkAnswer answers about the 15 minutes of 700 pods, of which all is kept.
func BenchmarkAnswer(b *testing.B) {
	var nodes, names []string
	for i := range 400 {
		nodes = append(nodes, fmt.Sprintf("node-%03d", i))
	}
	for i := range 700 {
		names = append(names, fmt.Sprintf("checkout-7d4b9c6f5d-%04d", i))
	}
	h := newFleet(crowd, nodes...).open(b, Config{})
	r := httptest.NewRequest("GET", Prefix+"namespaces/shop/pod-list/"+strings.Join(names, ",")+"/metrics/cpu/usage_rate", nil)
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run(encoding, func(b *testing.B) {
			r.Header.Set("Accept-Encoding", encoding)
			w := discard{header: http.Header{}}
			h.ServeHTTP(&w, r) // cold
			w.bytes = 0
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				w.header = http.Header{}
				h.ServeHTTP(&w, r)
			}
			b.ReportMetric(float64(w.bytes)/float64(b.N), "B/answer")
			b.ReportMetric(float64(h.windows.kept()), "B/kept")
		})
	}
}
