package virtual

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/api"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkAnswer is what an agent's answer costs without the network, and how
// much of that is finding the chunks: a real agent asks its ring instead.
func BenchmarkAnswer(b *testing.B) {
	c, err := played()
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().Unix()
	questions := map[string]string{
		"node 15 min": chunksPath(model.Query{From: now - 900, To: now}),
		"pods latest": latestPath(now),
		"pods 15 s":   chunksPath(model.Query{Pods: true, From: now - 15, To: now}),
		"unknown pod": chunksPath(model.Query{Pods: true, Namespace: "team-01", Pod: "api-x", From: now - 900, To: now}),
	}
	rings := make([]*ring, c.cfg.Nodes)
	for i := range rings {
		rings[i] = newRing(c, i)
	}
	for name, path := range questions {
		b.Run(name, func(b *testing.B) {
			h := api.Peer(api.PeerConfig{Node: "node-1", Resolution: c.cfg.Resolution, Retention: c.cfg.History}, rings[0], http.NotFoundHandler(), slog.New(slog.DiscardHandler), nowhere{})
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(&discard{http.Header{}}, httptest.NewRequest(http.MethodGet, path, nil))
			}
		})
	}
	b.Run("chunks of all pods", func(b *testing.B) {
		b.ReportAllocs()
		q := model.Query{Pods: true, From: now - 900, To: now}
		i := 0
		for b.Loop() {
			for _, err := range rings[i%len(rings)].Chunks(b.Context(), q) {
				if err != nil {
					b.Fatal(err)
				}
			}
			i++
		}
	})
	b.Run("newest of all pods", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			rings[i%len(rings)].Scrape(1 << 62)
			i++
		}
	})
}
