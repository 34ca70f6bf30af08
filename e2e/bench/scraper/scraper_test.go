package main

import (
	"testing"
	"time"
)

const text = `# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="app",namespace="shop",pod="cart"} 1.5 1795236932000
container_cpu_usage_seconds_total{container="envoy",namespace="shop",pod="cart"} 0.25 1795236932000
container_cpu_usage_seconds_total{container="app",namespace="shop",pod="new"} 0.25 1795236932000
container_memory_working_set_bytes{container="app",namespace="shop",pod="cart"} 1.179648e+06 1795236932001
container_memory_working_set_bytes{container="envoy",namespace="shop",pod="cart"} 4096 1795236932001
container_start_time_seconds{container="app",namespace="shop",pod="cart"} 1.7952308240794275e+09
container_swap_usage_bytes{container="app",namespace="shop",pod="cart"} 7 1795236932001
node_cpu_usage_seconds_total 9545.5 1795236922506
node_memory_working_set_bytes 7.263666176e+09 1795236922506
pod_cpu_usage_seconds_total{namespace="shop",pod="cart"} 36 1795236926155
resource_scrape_error 0
`

func TestDecode(t *testing.T) {
	b, err := decode([]byte(text), time.Now(), "node-1")
	if err != nil {
		t.Fatal(err)
	}
	if n := b.nodes["node-1"]; n.cpu != 9545_500_000_000 || n.memory != 7263666176 || n.at.UnixMilli() != 1795236922506 {
		t.Errorf("node %+v", n)
	}
	cart := b.pods[pod{"shop", "cart"}]
	if len(b.pods) != 1 || len(cart) != 2 {
		t.Fatalf("pods %+v; want cart alone, since new has no memory", b.pods)
	}
	app := cart["app"]
	if app.cpu != 1_500_000_000 || app.memory != 1179648 || app.swap != 7 || app.at.UnixMilli() != 1795236932001 || app.start.Unix() != 1795230824 {
		t.Errorf("app %+v", app)
	}
	if _, err := decode([]byte("node_memory_working_set_bytes 1\n"), time.Now(), "node-1"); err == nil {
		t.Error("a text without a node's CPU is taken")
	}
	if _, err := decode([]byte("node_memory_working_set_bytes {\n"), time.Now(), "node-1"); err == nil {
		t.Error("what is no text of Prometheus is taken")
	}
}

func TestStoreKeepsTwoGenerations(t *testing.T) {
	begin := time.Unix(1795230000, 0)
	s, ref := &store{}, pod{"shop", "cart"}
	cycle := func(after time.Duration, containers ...string) {
		b := newBatch()
		b.pods[ref] = map[string]point{}
		for _, name := range containers {
			b.pods[ref][name] = point{start: begin, at: begin.Add(after), cpu: uint64(after)}
		}
		s.take(b)
	}
	cycle(10*time.Second, "app", "gone")
	if s.rates() != 0 {
		t.Errorf("%d rates of one cycle", s.rates())
	}
	cycle(20*time.Second, "app", "new")
	if s.rates() != 1 || s.prevPods[ref]["app"].cpu != uint64(10*time.Second) || len(s.lastPods[ref]) != 2 {
		t.Errorf("after two cycles: last %v, before %v", s.lastPods, s.prevPods)
	}
	cycle(20*time.Second, "app") // measured no more since
	if s.prevPods[ref]["app"].cpu != uint64(10*time.Second) {
		t.Errorf("the same point twice replaced its predecessor: %v", s.prevPods)
	}
}
