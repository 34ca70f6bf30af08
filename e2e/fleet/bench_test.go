package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
)

// BenchmarkFanout asks 100 nodes of 30 pods with 15 min of history, over
// connections that are warm. CPU and memory are of the whole process: client,
// aggregator and all 100 agents. The baseline asks the same agents one after
// the other for the same, over their local API.
func BenchmarkFanout(b *testing.B) {
	cfg := Config{
		Nodes: 100, Aggregators: 1, Pods: 30, Resolution: 15 * time.Second, Backfill: 15 * time.Minute, Seed: 1,
		Network: netip.MustParsePrefix("127.49.0.0/16"), Data: b.TempDir(),
		Listen: netip.MustParseAddrPort("127.49.255.1:8000"), Admin: netip.MustParseAddrPort("127.49.255.1:8090"),
	}
	f, err := NewFleet(cfg, "bench", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		cancel()
		if err := f.Stop(); err != nil {
			b.Error(err)
		}
	}()
	if err := f.Start(ctx); err != nil {
		b.Fatal(err)
	}
	if err := f.awaitComplete(ctx); err != nil {
		b.Fatal(err)
	}
	web := &http.Client{Timeout: time.Minute}
	defer web.CloseIdleConnections()
	for _, q := range []struct{ name, path string }{
		{"latest of all nodes", "/api/v1/node?window=15s&partial=deny"},
		{"15min of all nodes", "/api/v1/node?window=15m&partial=deny"},
		{"15min of all pods", "/api/v1/pod?window=15m&partial=deny"},
	} {
		name, path := q.name, q.path
		b.Run(name, func(b *testing.B) {
			fetch(b, web, f.aggregators[0].url()+path) // warms up
			size, before := 0, meter.CPU()
			for b.Loop() {
				size = fetch(b, web, f.aggregators[0].url()+path)
			}
			b.ReportMetric(meter.Millis(meter.CPU()-before)/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(size), "JSON-bytes")
		})
		b.Run(name+", baseline one by one", func(b *testing.B) {
			before := meter.CPU()
			for b.Loop() {
				for _, n := range f.nodes {
					fetch(b, web, "http://"+n.cfg.LocalListen+path)
				}
			}
			b.ReportMetric(meter.Millis(meter.CPU()-before)/float64(b.N), "cpu-ms/op")
		})
	}
}

func fetch(b *testing.B, c *http.Client, url string) int {
	resp, err := c.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var buf bytes.Buffer
	n, err := io.Copy(&buf, resp.Body)
	if err != nil || resp.StatusCode != 200 {
		b.Fatalf("%s: %d %v: %.200s", url, resp.StatusCode, err, buf.Bytes())
	}
	if !json.Valid(buf.Bytes()) {
		b.Fatalf("%s: not JSON", url)
	}
	return int(n)
}
