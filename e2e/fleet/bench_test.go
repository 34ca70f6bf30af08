package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// cpuTime is the CPU time of this process so far, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScrape is what an agent does each slot on a full node: four hours
// of the recorded trace at 15 s, 110 pods, every fourth answer full. The ring
// is measured beside the obvious layout, one Pebble row per entity and slot
// with Pebble's defaults, synced likewise. CPU is of the whole process.
func BenchmarkScrape(b *testing.B) {
	trace, err := standin.LoadTrace()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		k, err := standin.New(standin.Config{Node: "node-1", Seed: 1, Pods: 110, Resolution: 15 * time.Second, Token: "t", Trace: trace})
		if err != nil {
			b.Fatal(err)
		}
		ringDir, rowsDir := b.TempDir(), b.TempDir()
		r := ring.Open(ring.Config{Dir: ringDir, Resolution: 15 * time.Second, Retention: 24 * time.Hour}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		rows, err := pebble.Open(rowsDir, &pebble.Options{Logger: quiet{}})
		if err != nil {
			b.Fatal(err)
		}
		var decode, store, baseline time.Duration
		numbers, scrapes := 0, 0
		for slot := int64(1795230000); slot < 1795230000+4*3600; slot += 15 {
			doc := document(k, slot)
			t0 := cpuTime()
			scrape, _, err := kubelet.Decode(doc)
			if err != nil {
				b.Fatal(err)
			}
			t1 := cpuTime()
			if err := r.Append(slot, &scrape); err != nil {
				b.Fatal(err)
			}
			t2 := cpuTime()
			if err := writeRows(rows, slot, &scrape); err != nil {
				b.Fatal(err)
			}
			decode, store, baseline = decode+t1-t0, store+t2-t1, baseline+cpuTime()-t2
			numbers += count(&scrape)
			scrapes++
		}
		if err := errors.Join(r.Close(), rows.Flush(), rows.Close()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(numbers)/float64(scrapes), "numbers/scrape")
		b.ReportMetric(decode.Seconds()*1e3/float64(scrapes), "decode-cpu-ms/scrape")
		b.ReportMetric(store.Seconds()*1e3/float64(scrapes), "ring-cpu-ms/scrape")
		b.ReportMetric(baseline.Seconds()*1e3/float64(scrapes), "rows-cpu-ms/scrape")
		b.ReportMetric(diskBytes(b, ringDir)/float64(numbers), "ring-B/number")
		b.ReportMetric(diskBytes(b, rowsDir)/float64(numbers), "rows-B/number")
	}
}

// diskBytes is the size of all files in dir, logs that wait for their first
// flush included.
func diskBytes(b *testing.B, dir string) float64 {
	files, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	var n int64
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			b.Fatal(err)
		}
		n += info.Size()
	}
	return float64(n)
}

// document is what the stand-in answers in a slot, in the form in which the
// sampler asks for it.
func document(k *standin.Kubelet, slot int64) []byte {
	k.SetClock(func() time.Time { return time.Unix(slot, 0) })
	url := "/stats/summary"
	if slot/15%4 != 0 {
		url += "?only_cpu_and_memory=true"
	}
	req := httptest.NewRequest(http.MethodGet, url, nil)
	req.Header.Set("Authorization", "Bearer t")
	w := httptest.NewRecorder()
	k.ServeHTTP(w, req)
	return w.Body.Bytes()
}

func count(s *model.Scrape) int {
	n := 0
	for _, g := range s.Groups {
		for i := range g.Samples {
			for m := range model.NumMetrics {
				if g.Samples[i].Has(m) {
					n++
				}
			}
		}
	}
	return n
}

// writeRows is the baseline: one row per entity and slot, all values in full.
func writeRows(db *pebble.DB, slot int64, s *model.Scrape) error {
	batch := db.NewBatch()
	var row []byte
	for _, g := range s.Groups {
		for i := range g.Samples {
			v := &g.Samples[i]
			key := fmt.Appendf(nil, "%s/%s/%s/", g.Pod.Namespace, g.Pod.UID, v.Name)
			key = binary.BigEndian.AppendUint64(key, uint64(slot))
			row = binary.AppendUvarint(row[:0], uint64(v.Present()))
			for m := range model.NumMetrics {
				if x, ok := v.Get(m); ok {
					row = binary.AppendUvarint(row, x)
				}
			}
			if err := batch.Set(key, row, nil); err != nil {
				return err
			}
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return err
	}
	return batch.Close()
}

// quiet is a logger for the baseline.
type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

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
			size, before := 0, cpuTime()
			for b.Loop() {
				size = fetch(b, web, f.aggregators[0].url()+path)
			}
			b.ReportMetric((cpuTime()-before).Seconds()*1e3/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(size), "JSON-bytes")
		})
		b.Run(name+", baseline one by one", func(b *testing.B) {
			before := cpuTime()
			for b.Loop() {
				for _, n := range f.nodes {
					fetch(b, web, "http://"+n.cfg.LocalListen+path)
				}
			}
			b.ReportMetric((cpuTime()-before).Seconds()*1e3/float64(b.N), "cpu-ms/op")
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
