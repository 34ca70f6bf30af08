package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/aggregator/app"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// virtualConfig is a small fleet of virtual nodes on a network of its own.
func virtualConfig(second byte, nodes, aggregators int) Config {
	listen := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, second, 255, 1}), 8000)
	return Config{
		VirtualNodes: nodes, VirtualHistory: 24 * time.Hour, GossipPort: 17000 + int(second),
		Aggregators: aggregators, Pods: 30, Resolution: 15 * time.Second, Seed: 1,
		Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{127, second, 0, 0}), 16),
		Listen:  listen, Admin: netip.AddrPortFrom(listen.Addr(), 8090),
	}
}

// A fleet of virtual nodes answers through a real aggregator with what its
// nodes measured; what it prints works as printed, and Ctrl-C ends it cleanly.
func TestVirtualNodes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cfg := virtualConfig(48, 30, 1)
	out := &output{want: "Ctrl-C", seen: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- run(ctx, cfg, out, slog.New(slog.DiscardHandler)) }()
	select {
	case <-out.seen:
	case err := <-done:
		t.Fatalf("ended early: %v\n%s", err, out)
	}
	url, admin := fmt.Sprintf("http://%v", cfg.Listen), fmt.Sprintf("http://%v", cfg.Admin)

	// All but the newest, which may still come, and across a block's border.
	to := model.SlotOf(time.Now(), cfg.Resolution) - 30
	for _, node := range []string{"node-1", "node-17"} {
		truth := func(from, to int64) (truth standin.Truth) {
			getJSON(t, fmt.Sprintf("%s/truth?node=%s&from=%d&to=%d", admin, node, from, to), &truth)
			return truth
		}
		if n := judge(t, url, node, truth, to-20*60, to, 30); n < 5000 {
			t.Errorf("%s: compared %d points", node, n)
		}
	}

	lines := curl.FindAllStringSubmatch(out.String(), -1)
	if len(lines) != 5 { // four lines, the last one with two commands
		t.Fatalf("%d commands printed:\n%s", len(lines), out)
	}
	for _, l := range lines {
		method := http.MethodGet
		if l[1] != "" {
			method = http.MethodPost
		}
		if status, got := do(t, method, l[2]); status != 200 || strings.Contains(got, `"timestamp"`) != (method == http.MethodGet) {
			t.Errorf("%s: status %d\n%s", l[0], status, got)
		} else if l[2] == lines[4][2] && !strings.Contains(got, `{"node":"node-30","outcome":"timeout"`) {
			t.Errorf("the slow node is not missing:\n%.300s", got)
		}
	}

	for _, order := range []struct {
		path string
		want int
	}{
		{"/virtual?nodes=all&fault=none", 200},
		{"/nodes/node-3/agent?fault=size:3", 200},
		{"/nodes/node-3/agent?action=restart", 200},
		{"/virtual?nodes=node-1..node-2", 400},
		{"/virtual?nodes=node-1&fault=no", 400},
		{"/virtual?nodes=node-1&fault=none&action=kill", 400},
		{"/virtual?nodes=node-31&fault=none", 404},
		{"/nodes/node-0/agent?fault=none", 404},
		{"/partition?nodes=node-1", 404},
	} {
		if status, got := do(t, http.MethodPost, admin+order.path); status != order.want {
			t.Errorf("%s: status %d, want %d: %s", order.path, status, order.want, got)
		}
	}
	var nodes []struct{ Name, Agent, Fault string }
	getJSON(t, admin+"/nodes", &nodes)
	if len(nodes) != 30 || nodes[2].Name != "node-3" || nodes[2].Fault != "size:3" || nodes[2].Agent != "running" {
		t.Errorf("%d nodes, %+v", len(nodes), nodes[2])
	}
	if status, _ := do(t, http.MethodGet, admin+"/truth?node=node-31&from=1&to=2"); status != 404 {
		t.Errorf("the truth of nobody: status %d", status)
	}

	cancel()
	if err := <-done; err != nil {
		t.Errorf("at the end: %v", err)
	}
	if !strings.HasSuffix(out.String(), "stopped\n") {
		t.Errorf("no goodbye:\n%s", out)
	}
}

func do(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func getJSON(t *testing.T, url string, to any) {
	t.Helper()
	status, b := do(t, http.MethodGet, url)
	if err := json.Unmarshal([]byte(b), to); err != nil || status != 200 {
		t.Fatalf("%s: status %d, %v: %s", url, status, err, b)
	}
}

// Without aggregators of its own, the fleet says how to start one, and that one
// is answered by all.
func TestOutsideCommand(t *testing.T) {
	r, _ := startVirtual(t, virtualConfig(49, 10, 0), nil)
	words := strings.Fields(r.outsideCommand())
	var outside app.Config
	fs := pflag.NewFlagSet(words[0], pflag.ContinueOnError)
	outside.AddFlags(fs)
	if err := fs.Parse(words[1:]); err != nil || words[0] != "bin/rollcall-aggregator" || fs.NArg() > 0 {
		t.Fatalf("%v: %v", words, err)
	}
	a, err := app.New(t.Context(), outside, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	live, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(live) }()
	r.eventually("a complete answer", func() bool { return complete(t.Context(), "http://"+outside.Listen) == nil })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestVirtualFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--virtual-nodes 16001":                                "--virtual-nodes 16001",
		"--virtual-nodes -1":                                   "--virtual-nodes -1",
		"--virtual-nodes 5 --virtual-history 1m":               "--virtual-history 1m",
		"--virtual-nodes 5 --backfill 1m":                      "--backfill",
		"--virtual-nodes 5 --virtual-gossip-port 7946":         "--virtual-gossip-port 7946",
		"--virtual-nodes 5 --aggregators -1":                   "--aggregators -1",
		"--aggregators 0":                                      "--aggregators 0",
		"--virtual-nodes 5000 --aggregators 0":                 "",
		"--virtual-nodes 5 --aggregators 0 --virtual-nodes 12": "",
	} {
		cfg := &Config{}
		fs := pflag.NewFlagSet("fleet", pflag.ContinueOnError)
		cfg.AddFlags(fs)
		if err := fs.Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		err := cfg.Validate()
		if want == "" {
			if err != nil || cfg.Pods != podsOfVirtualNode {
				t.Errorf("%s: %v, %d pods", args, err, cfg.Pods)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
	cfg := virtualConfig(48, 1<<40, 0) // more than the kernel lets even root have
	if err := cfg.raiseFiles(); err == nil || !strings.Contains(err.Error(), "ulimit -Hn") {
		t.Errorf("2^40 sockets: %v", err)
	}
}
