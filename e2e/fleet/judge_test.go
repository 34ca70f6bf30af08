package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// The judge compares what /api/v1 answers with what the stand-ins served. It
// knows the documented rules and nothing of the agent's code.

// answer is an answer of /api/v1.
type answer struct {
	Nodes []struct {
		Name    string
		Metrics []pointJSON
	}
	Pods []struct {
		Namespace, Name string
		Metrics         []pointJSON
		Containers      []struct {
			Name    string
			Metrics []pointJSON
		}
	}
	Coverage coverageJSON
	Error    struct{ Code, Message string }
}

type pointJSON map[string]uint64

type coverageJSON struct {
	Expected, Asked, Answered int
	Complete                  bool
	Missing                   []struct {
		Node, Outcome, Error string
		ElapsedMs            int
	}
	NotListed map[string]int // missing nodes beyond those, by outcome
}

// outcome is the outcome of a missing node, "" if it is not missing.
func (c *coverageJSON) outcome(node string) string {
	for _, m := range c.Missing {
		if m.Node == node {
			return m.Outcome
		}
	}
	return ""
}

// client waits long: how fast an answer is is for benchmarks.
func client() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

func ask(t *testing.T, url string) (int, answer) {
	t.Helper()
	resp, err := client().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatalf("%s: status %d: %v", url, resp.StatusCode, err)
	}
	return resp.StatusCode, a
}

// series is one entity name's points: "pod/container", "pod/" or "node".
type series map[int64]pointJSON

// expected works out from a node's truth what /api/v1 has to answer for it.
func expected(truth standin.Truth) (node series, pods map[string]series) {
	type measurement struct {
		at, total uint64
		doubted   bool
	}
	node, pods = series{}, map[string]series{}
	last := map[string]measurement{}
	for _, s := range truth.Slots {
		now := map[string]measurement{}
		for _, e := range s.Entities {
			values := maps.Clone(e.Values)
			key := fmt.Sprint(e.Namespace, e.Pod, e.UID, e.Container, e.Start)
			if e.Pod == "" {
				key = "" // its start differs by form, which is no restart
			}
			at, hasTime := values["measured"]
			if len(values) == 0 || (hasTime && s.Slot-int64(at) > 120) {
				continue // measured minutes ago
			}
			total, hasTotal := values["cpuTotal"]
			cpu, hasCPU := values["cpu"]
			if hasTime && hasTotal {
				m := measurement{at: at, total: total}
				before, known := last[key]
				const half = 500_000 // nanocores that round to 1 millicore
				switch {
				case !hasCPU || cpu > 0:
				case known && before.at == at:
					m.doubted = before.doubted
				case known && total >= before.total:
					m.doubted = at > before.at && (total-before.total)/(at-before.at) >= half
				case known: // the counter began anew
					m.doubted = at > before.at && total/(at-before.at) >= half
				case int64(at) == e.Start:
					m.doubted = true
				case int64(at)-e.Start < 60 && int64(at) > e.Start:
					m.doubted = total/(at-uint64(e.Start)) >= half
				}
				if m.doubted {
					delete(values, "cpu")
				}
				now[key] = m
			}
			if cpu, ok := values["cpu"]; ok {
				values["cpu"] = (cpu + 500_000) / 1_000_000
			}
			values["timestamp"] = uint64(s.Slot)
			if e.Pod == "" {
				node[s.Slot] = values
				continue
			}
			name := e.Namespace + "/" + e.Pod + "/" + e.Container
			if pods[name] == nil {
				pods[name] = series{}
			}
			pods[name][s.Slot] = values
		}
		last = now
	}
	return node, pods
}

// allMetrics asks for every column.
var allMetrics = "metrics=" + strings.Join(model.MetricNames(), ",")

// A truthFunc tells what a node measured.
type truthFunc func(from, to int64) standin.Truth

// truthOf is expected of the slots from..to. Whether a cpu of 0 is believed
// depends on the measurement before, so it looks at a few slots more.
func truthOf(truth truthFunc, from, to, lead int64) (node series, pods map[string]series) {
	node, pods = expected(truth(from-lead, to))
	pods[""] = node
	for name, s := range pods {
		for slot := range s {
			if slot < from {
				delete(s, slot)
			}
		}
		if len(s) == 0 {
			delete(pods, name)
		}
	}
	delete(pods, "")
	return node, pods
}

// judgeNode compares all that an aggregator answers about a node from..to with
// the truth, by every route, and returns how many points it compared. The
// lead seconds before from must have been sampled as well.
func judgeNode(t *testing.T, url string, n *node, from, to, lead int64) int {
	t.Helper()
	return judge(t, url, n.name, n.kubelet.Truth, from, to, lead)
}

func judge(t *testing.T, url, node string, truth truthFunc, from, to, lead int64) int {
	t.Helper()
	wantNode, wantPods := truthOf(truth, from, to, lead)
	query := fmt.Sprintf("?%s&start=%d&end=%d", allMetrics, from, to)

	status, a := ask(t, url+"/api/v1/node/"+node+query)
	if status != 200 || len(a.Nodes) != 1 {
		t.Fatalf("%s: status %d, %d nodes", node, status, len(a.Nodes))
	}
	compared := compareSeries(t, node, a.Nodes[0].Metrics, wantNode)

	_, a = ask(t, url+"/api/v1/pod"+query+"&node="+node)
	got := map[string]bool{}
	for _, p := range a.Pods {
		pod := p.Namespace + "/" + p.Name + "/"
		if len(p.Metrics) > 0 {
			got[pod] = true
		}
		compared += compareSeries(t, pod, p.Metrics, wantPods[pod])
		for _, c := range p.Containers {
			got[pod+c.Name] = true
			compared += compareSeries(t, pod+c.Name, c.Metrics, wantPods[pod+c.Name])
		}
	}
	for name := range wantPods {
		if !got[name] {
			t.Errorf("%s: nothing about %s", node, name)
		}
	}

	// One pod and one container by their own routes.
	for _, name := range slices.Sorted(maps.Keys(wantPods)) {
		if strings.HasSuffix(name, "/") {
			continue
		}
		_, a = ask(t, url+"/api/v1/pod/"+name+query)
		if len(a.Pods) != 1 || len(a.Pods[0].Containers) != 1 {
			t.Fatalf("%s: %+v", name, a.Error)
		}
		compared += compareSeries(t, name, a.Pods[0].Containers[0].Metrics, wantPods[name])
		break
	}
	return compared
}

func compareSeries(t *testing.T, name string, got []pointJSON, want series) int {
	t.Helper()
	last, bad := int64(0), 0
	for _, p := range got {
		slot := int64(p["timestamp"])
		if slot <= last {
			t.Errorf("%s: slot %d after %d", name, slot, last)
		}
		last = slot
		if !maps.Equal(p, want[slot]) {
			if bad++; bad <= 3 {
				t.Errorf("%s slot %d:\n got %v\nwant %v", name, slot, p, want[slot])
			}
		}
	}
	if len(got) != len(want) {
		var missing []int64
		have := map[int64]bool{}
		for _, p := range got {
			have[int64(p["timestamp"])] = true
		}
		for slot := range want {
			if !have[slot] {
				missing = append(missing, slot)
			}
		}
		slices.Sort(missing)
		t.Errorf("%s: %d points, want %d; missing %v", name, len(got), len(want), missing[:min(5, len(missing))])
	}
	return len(got)
}
