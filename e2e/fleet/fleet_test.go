package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func TestMain(m *testing.M) {
	// memberlist's Shutdown does not wait for probes that are under way; they
	// end within two seconds.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// second is the resolution of live tests: fast enough to wait for slots.
const second = time.Second

// running is a fleet under test.
type running struct {
	*Fleet
	t     *testing.T
	admin string
}

// startFleet starts a fleet on a network of its own, which ends with the test.
func startFleet(t *testing.T, third int, cfg Config) *running {
	t.Helper()
	cfg.Network = netip.MustParsePrefix(fmt.Sprintf("127.%d.0.0/16", third))
	cfg.Listen = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(third), 255, 1}), 8000)
	cfg.Admin = netip.AddrPortFrom(cfg.Listen.Addr(), 8090)
	cfg.Data, cfg.Seed = t.TempDir(), 7
	if cfg.Aggregators == 0 {
		cfg.Aggregators = 1
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	f, err := NewFleet(cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	admin := httptest.NewServer(f.admin(ctx))
	t.Cleanup(func() {
		f.network.Heal()
		admin.Close()
		cancel()
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := f.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.awaitComplete(ctx); err != nil {
		t.Fatal(err)
	}
	return &running{f, t, admin.URL}
}

// order posts to the admin API.
func (r *running) order(path string) {
	r.t.Helper()
	resp, err := client().Post(r.admin+path, "", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("%s: status %d: %s", path, resp.StatusCode, body)
	}
}

func (r *running) url() string { return r.aggregators[0].url() }

// eventually asks until ok; the deadline only ends a test that has failed.
func (r *running) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			r.t.Fatalf("never: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// newest is the newest slot of a node, by its own ring.
func (r *running) newest(n *node) int64 {
	_, a := ask(r.t, "http://"+n.cfg.LocalListen+"/api/v1/node?window=20m")
	if len(a.Nodes) != 1 || len(a.Nodes[0].Metrics) == 0 {
		return 0
	}
	m := a.Nodes[0].Metrics
	return int64(m[len(m)-1]["timestamp"])
}

// awaitSlots waits until the node has n more slots.
func (r *running) awaitSlots(n *node, more int64) {
	r.t.Helper()
	res := int64(r.cfg.Resolution / time.Second)
	target := model.SlotOf(time.Now(), r.cfg.Resolution) + more*res
	r.eventually(fmt.Sprintf("%s samples slot %d", n.name, target), func() bool { return r.newest(n) >= target })
}

// Twenty minutes of history cross a block boundary, and hold restarts, gaps
// and replaced pods: every number of every node, pod and container equals what
// was served, over both aggregators.
func TestHistoryEqualsTruth(t *testing.T) {
	r := startFleet(t, 41, Config{Nodes: 3, Aggregators: 2, Pods: 20, Resolution: 15 * time.Second, Backfill: 35 * time.Minute})
	// Up to the last slot that was replayed: what is live may still arrive.
	to := model.SlotOf(time.Now(), r.cfg.Resolution) - 30
	from := to - 32*60
	for _, n := range r.nodes {
		var compared []int
		for _, a := range r.aggregators {
			compared = append(compared, judgeNode(t, a.url(), n, from, to, 30))
		}
		if compared[0] < 4000 || compared[0] != compared[1] {
			t.Errorf("%s: compared %v points", n.name, compared)
		}
	}

	// A restarted aggregator gives the same answers, byte for byte.
	url := fmt.Sprintf("%s/api/v1/pod?start=%d&end=%d", r.url(), from, to)
	before := body(t, url)
	r.order("/aggregators/aggregator-1?action=kill")
	r.order("/aggregators/aggregator-1?action=start")
	r.eventually("the restarted aggregator is complete", func() bool { return complete(t.Context(), r.url()) == nil })
	if after := body(t, url); after != before {
		t.Errorf("after its restart the aggregator answers %d bytes, before %d, or others", len(after), len(before))
	}
	if other := body(t, strings.Replace(url, r.url(), r.aggregators[1].url(), 1)); other != before {
		t.Error("the other aggregator answers differently")
	}
}

func body(t *testing.T, url string) string {
	t.Helper()
	resp, err := client().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Agents are stopped, killed, paused and cut off while the fleet is live. The
// others answer in full, the node is missing with the right outcome, and when
// it is back, so is its history; what was not measured is a gap.
func TestAgentFaults(t *testing.T) {
	r := startFleet(t, 42, Config{Nodes: 3, Pods: 10, Resolution: second, Backfill: time.Minute})
	victim, healthy := r.nodes[1], r.nodes[0]
	began := time.Now().Add(-time.Minute).Unix()
	var out [][2]int64 // when the victim measured nothing, or perhaps nothing
	cases := []struct {
		name, fault, recover string
		outcomes             []string
	}{
		{"stopped", "/nodes/node-2/agent?action=stop", "/nodes/node-2/agent?action=start", []string{"not_in_roster"}},
		{"killed", "/nodes/node-2/agent?action=kill", "/nodes/node-2/agent?action=start", []string{"refused", "truncated", "dead"}},
		{"paused", "/nodes/node-2/agent?action=pause", "/nodes/node-2/agent?action=resume", []string{"timeout", "dead"}},
		{"cut off", "/partition?nodes=node-2", "/heal", []string{"timeout", "dead"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r.awaitSlots(victim, 2)
			down := time.Now().Unix()
			r.order(c.fault)
			r.checkMissing(t, victim, c.outcomes)
			r.eventually("gossip has noticed", func() bool {
				_, a := ask(t, r.url()+"/api/v1/node?window=10s")
				o := a.Coverage.outcome(victim.name)
				return o == c.outcomes[len(c.outcomes)-1]
			})
			r.checkMissing(t, victim, c.outcomes)
			r.order(c.recover)
			r.eventually("the node is back", func() bool { return complete(t.Context(), r.url()) == nil })
			r.awaitSlots(victim, 2)
			out = append(out, [2]int64{down - 2, time.Now().Unix() + 1})

			for i, o := range out {
				before := began
				if i > 0 {
					before = out[i-1][1]
				}
				judgeWindow(t, r, victim, before+1, o[0]-1)
			}
			judgeWindow(t, r, healthy, began, time.Now().Unix()-3)
		})
	}
}

// judgeWindow compares a window of slots that were all sampled.
func judgeWindow(t *testing.T, r *running, n *node, from, to int64) {
	t.Helper()
	const lead = 5
	if to-from > lead && judgeNode(t, r.url(), n, from+lead, to, lead) == 0 {
		t.Errorf("%s: nothing to compare in %d..%d", n.name, from, to)
	}
}

// checkMissing asks every route while a node is out of order.
func (r *running) checkMissing(t *testing.T, victim *node, outcomes []string) {
	t.Helper()
	pod, container := r.examplePod() // on node-1
	for _, path := range []string{
		"/api/v1/node", "/api/v1/node/" + r.nodes[0].name, "/api/v1/pod", "/api/v1/pod/" + pod.Namespace,
		"/api/v1/pod/" + pod.Namespace + "/" + pod.Name,
		"/api/v1/pod/" + pod.Namespace + "/" + pod.Name + "/" + container,
	} {
		status, a := ask(t, r.url()+path+"?window=30s")
		if status != 200 || len(a.Nodes)+len(a.Pods) == 0 {
			t.Errorf("%s: status %d, %+v", path, status, a.Error)
		}
		if path == "/api/v1/node/"+r.nodes[0].name {
			if !a.Coverage.Complete || a.Coverage.Expected != 1 {
				t.Errorf("%s: coverage %+v", path, a.Coverage)
			}
			continue
		}
		got := a.Coverage.outcome(victim.name)
		ok := slices.Contains(outcomes, got)
		if strings.HasPrefix(path, "/api/v1/pod/"+pod.Namespace+"/") {
			// The victim cannot have it, unless it has never said what it has.
			alone := a.Coverage.Complete && a.Coverage.Expected == 1
			if with := ok && a.Coverage.Expected == 2; a.Coverage.Answered != 1 || (!alone && !with) {
				t.Errorf("%s: coverage %+v", path, a.Coverage)
			}
			continue
		}
		if !ok || a.Coverage.Expected != 3 || a.Coverage.Answered != 2 || a.Coverage.Complete {
			t.Errorf("%s: outcome %q, want one of %v; %+v", path, got, outcomes, a.Coverage)
		}
	}
	status, a := ask(t, r.url()+"/api/v1/node?window=30s&partial=deny")
	if status != 503 || a.Error.Code != "incomplete" || a.Coverage.Answered != 2 {
		t.Errorf("deny: status %d, %+v", status, a)
	}
	if status, _ := ask(t, r.url()+"/api/v1/node?window=30s&partial=min:0.6"); status != 200 {
		t.Errorf("min:0.6: status %d", status)
	}
	if status, a := ask(t, r.url()+"/api/v1/node/"+victim.name+"?window=30s"); status != 200 || a.Coverage.Complete {
		t.Errorf("the node itself: status %d, %+v", status, a.Coverage)
	}
}

// A kubelet that fails in any way costs its slots; the agent serves history,
// says what is wrong, and recovers by itself.
func TestKubeletFaults(t *testing.T) {
	r := startFleet(t, 43, Config{Nodes: 1, Pods: 8, Resolution: second, Backfill: time.Minute})
	n := r.nodes[0]
	for fault, want := range map[string]string{
		"status:401": "unauthorized", "status:403": "forbidden", "status:500": "failed", "garbage": "malformed",
		"truncate": "truncated", "endless": "timeout", "blackhole": "timeout", "reset": "unreachable", "slow:5s": "timeout",
	} {
		t.Run(fault, func(t *testing.T) {
			r.awaitSlots(n, 1)
			r.order("/nodes/node-1/kubelet?fault=" + fault)
			summary := "http://" + n.cfg.LocalListen + "/debug/summary"
			r.eventually("/debug/summary tells", func() bool {
				return strings.Contains(body(t, summary), `"error": "`)
			})
			metrics := body(t, "http://"+n.cfg.MetricsListen+"/metrics")
			if !strings.Contains(metrics, `rollcall_kubelet_requests_total{form="light",result="`+want+`"}`) &&
				!strings.Contains(metrics, `rollcall_kubelet_requests_total{form="full",result="`+want+`"}`) {
				t.Errorf("no request counted as %s", want)
			}
			if status, a := ask(t, r.url()+"/api/v1/node?window=1m&partial=deny"); status != 200 || len(a.Nodes[0].Metrics) < 30 {
				t.Errorf("history during the fault: status %d, %d points", status, len(a.Nodes[0].Metrics))
			}
			r.order("/nodes/node-1/kubelet?fault=none")
			r.awaitSlots(n, 1)
			if s := body(t, summary); strings.Contains(s, `"error": "`) {
				t.Errorf("after recovery: %.300s", s)
			}
		})
	}
	if ring := body(t, "http://"+n.cfg.LocalListen+"/debug/ring"); !strings.Contains(ring, `"why": "`) {
		t.Error("the ring does not tell why there are gaps")
	}
	if resp := body(t, "http://"+n.cfg.MetricsListen+"/readyz"); resp != "ok\n" {
		t.Errorf("readyz: %s", resp)
	}
}
