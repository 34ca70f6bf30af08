package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// bad are the nodes that do not answer well, each with the outcomes that fit.
// With "ok" among them a node may still answer in full.
type bad map[string][]string

// whole checks every route while all nodes answer.
func (f *fire) whole(t *testing.T, a *aggregator) error { return f.check(t, a, nil, nil) }

// check asks an aggregator by every route. What is shown must be true, and who
// is missing must be named, at any time; those are failures of t. Its error is
// that not all nodes but the bad ones have answered, or those with other outcomes
// than fit them, which may take a while. Those that are sized say that they
// have more pods than they have.
func (f *fire) check(t *testing.T, a *aggregator, out bad, sized []string) error {
	t.Helper()
	if err := f.checkNodes(t, a, out); err != nil {
		return err
	}
	if err := f.checkPods(t, a, out, sized); err != nil {
		return err
	}
	for _, node := range f.virtual.Nodes() {
		if out[node] == nil {
			if err := f.checkPod(t, a, f.ledger.aContainer(node)); err != nil {
				return err
			}
			break
		}
	}
	if err := f.checkLatest(t, a, out); err != nil {
		return err
	}
	return f.checkLatestPods(t, a, out, sized)
}

// window is the ledger's slots, as parameters.
func (f *fire) window() string { return fmt.Sprintf("start=%d&end=%d", f.ledger.from, f.ledger.to) }

// checkNodes checks the history of all nodes.
func (f *fire) checkNodes(t *testing.T, a *aggregator, out bad) error {
	t.Helper()
	return f.judgeNodes(t, f.ask(t, a, "/api/v1/node?"+f.window()), out)
}

func (f *fire) judgeNodes(t *testing.T, r fireAnswer, out bad) error {
	t.Helper()
	absent := f.all()
	for _, n := range r.Nodes {
		if f.compare(t, n.Name, n.Metrics, f.ledger.nodes[n.Name]) {
			delete(absent, n.Name)
		}
	}
	return f.missing(t, "history of nodes", r.Coverage, absent, out)
}

// all are the names of all nodes, to be crossed out.
func (f *fire) all() map[string]bool {
	all := map[string]bool{}
	for _, name := range f.virtual.Nodes() {
		all[name] = true
	}
	return all
}

// compare compares points with those that were measured, and tells whether all
// of them are there.
func (f *fire) compare(t *testing.T, name string, got []pointJSON, want series) bool {
	t.Helper()
	last := uint64(0)
	for _, p := range got {
		if !maps.Equal(p, want[int64(p["timestamp"])]) || p["timestamp"] <= last {
			t.Errorf("%s after %d:\n got %v\nwant %v", name, last, p, want[int64(p["timestamp"])])
			return false
		}
		last = p["timestamp"]
	}
	return len(got) == len(want)
}

// missing compares the coverage with the nodes of which not all is there.
func (f *fire) missing(t *testing.T, what string, c coverageJSON, absent map[string]bool, out bad) error {
	t.Helper()
	counted := len(c.Missing)
	for _, n := range c.NotListed {
		counted += n
	}
	if len(absent) != counted || c.Answered != c.Expected-counted || c.Complete != (counted == 0) || c.Expected != f.cfg.VirtualNodes {
		t.Errorf("%s: %d of %d nodes are not there, such as %s; %d are missing: %.2000s", what, len(absent), f.cfg.VirtualNodes, some(absent), counted, fmt.Sprintf("%+v", c))
	}
	var late, other []string // healthy nodes on a busy machine; outcomes that do not fit yet
	fitting := map[string]bool{"timeout": true, "stale": true}
	for _, outcomes := range out {
		for _, o := range outcomes {
			fitting[o] = true
		}
	}
	for o, n := range c.NotListed {
		if !fitting[o] && len(f.mending) == 0 {
			t.Errorf("%s: %d nodes are %s", what, n, o)
		}
	}
	for _, m := range c.Missing {
		said := fmt.Sprintf("%s is missing with %q: %s", m.Node, m.Outcome, m.Error)
		switch {
		case !absent[m.Node]:
			t.Errorf("%s: %s, but all of it is there", what, said)
		case out[m.Node] != nil && !slices.Contains(out[m.Node], m.Outcome):
			other = append(other, said)
		case f.mending[m.Node]:
		case out[m.Node] == nil && m.Outcome != "timeout" && m.Outcome != "stale":
			t.Errorf("%s: %s, although it is well", what, said)
		}
	}
	for node := range absent {
		if out[node] == nil {
			late = append(late, node)
		}
	}
	for node := range out {
		if !absent[node] && !slices.Contains(out[node], "ok") {
			other = append(other, node+" is there")
		}
	}
	if len(late)+len(other) > 0 {
		return fmt.Errorf("%s: %d nodes that are well are missing, such as %.300s; %d do not end as they should: %.1000s", what, len(late), strings.Join(late, ", "), len(other), strings.Join(other, "; "))
	}
	return nil
}

func some(names map[string]bool) string {
	sorted := slices.Sorted(maps.Keys(names))
	return strings.Join(sorted[:min(5, len(sorted))], ", ")
}

// ofSize finds what a sized node calls its n-th copy of a pod.
var ofSize = regexp.MustCompile(`^(.+)-x[0-9]+$`)

// checkPods checks the history of the pods of the ledger's namespace.
func (f *fire) checkPods(t *testing.T, a *aggregator, out bad, sized []string) error {
	t.Helper()
	r := f.ask(t, a, "/api/v1/pod/"+ledgerNamespace+"?"+f.window())
	whole := map[string]int{} // series, by node
	f.eachSeries(t, r, f.ledger.owner, sized, func(node, key string, got []pointJSON) {
		if want := f.ledger.pods[key]; f.compare(t, key, got, want) && len(want) > 0 {
			whole[node]++
		}
	})
	absent := f.all()
	for node, n := range whole {
		if n == f.ledger.count[node] {
			delete(absent, node)
		}
	}
	return f.missing(t, "history of pods", r.Coverage, absent, out)
}

// eachSeries gives the series of pods that have an owner. Others are failures.
func (f *fire) eachSeries(t *testing.T, r fireAnswer, owner map[string]string, sized []string, give func(node, key string, got []pointJSON)) {
	t.Helper()
	for _, p := range r.Pods {
		pod := p.Namespace + "/" + p.Name
		node, ok := owner[pod]
		if !ok {
			copied := ofSize.FindStringSubmatch(pod)
			if copied == nil || !slices.Contains(sized, owner[copied[1]]) {
				t.Errorf("there is no pod %s", pod)
			}
			continue
		}
		give(node, pod+"/", p.Metrics)
		for _, c := range p.Containers {
			give(node, pod+"/"+c.Name, c.Metrics)
		}
	}
}

// checkPod checks the routes of one pod and of one of its containers, in steps,
// whatever happens elsewhere: only its own node is asked.
func (f *fire) checkPod(t *testing.T, a *aggregator, key string) error {
	t.Helper()
	pod := key[:strings.LastIndex(key, "/")]
	for path, want := range map[string]series{
		"/api/v1/pod/" + pod + "?" + f.window():                                           f.ledger.pods[key],
		fmt.Sprintf("/api/v1/pod/%s?%s&step=%ds&agg=max", key, f.window(), f.ledger.step): f.ledger.stepped(f.ledger.pods[key]),
	} {
		r := f.ask(t, a, path)
		if len(r.Pods) == 0 && !r.Coverage.Complete {
			return fmt.Errorf("%s: %+v", path, r.Coverage)
		}
		if len(r.Pods) != 1 {
			t.Fatalf("%s: %d pods, %+v", path, len(r.Pods), r.Coverage)
		}
		found := false
		for _, c := range r.Pods[0].Containers {
			if strings.HasSuffix(key, "/"+c.Name) {
				found = f.compare(t, path, c.Metrics, want)
			}
		}
		if !found {
			t.Errorf("%s: no container, or not all of it: %+v", path, r.answer)
		}
		// A pod that has been replaced since may be anywhere.
		if newest := f.lastSampled(); !f.has(t, f.ledger.owner[pod], key, newest) {
			continue
		}
		if !r.Coverage.Complete || r.Coverage.Expected != 1 {
			return fmt.Errorf("%s: %+v", path, r.Coverage)
		}
	}
	return nil
}

// has tells whether a node measured a container in a slot.
func (f *fire) has(t *testing.T, node, key string, slot int64) bool {
	t.Helper()
	_, pods, err := f.measured(node, slot, slot)
	if err != nil {
		t.Error(err)
	}
	return len(pods[key]) > 0
}

// lastSampled is the slot that newest values are of.
func (f *fire) lastSampled() int64 { return model.Shown(time.Now(), f.cfg.Resolution) }
