package virtual

import (
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// everyone is who is where at the beginning of a block.
func everyone(c *cast, block int64) (nodes map[model.PodRef]int, containers int) {
	nodes = map[model.PodRef]int{}
	for node := range c.cfg.Nodes {
		for _, a := range c.scene(node, block, &model.Query{}) {
			if a.life.has(a.age, 0) {
				nodes[a.ref] = node
				containers += a.life.containers
			}
		}
	}
	return nodes, containers
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	const block = 1_962_000 * model.BlockSeconds
	for nodes, want := range map[int]map[string]int{
		1000: {"kube-system": 2000, "monitoring": 1000, "checkout": 500, "search": 700},
		// A sixth of all places is 100, or 15.
		20: {"kube-system": 40, "monitoring": 20, "checkout": 100, "search": 100},
		3:  {"kube-system": 6, "monitoring": 3, "checkout": 15, "search": 15},
	} {
		c := castOf(t, configOf(nodes))
		pods, containers := everyone(c, block)
		if len(pods) != 30*nodes || containers != 45*nodes {
			t.Errorf("%d nodes have %d pods, %d containers", nodes, len(pods), containers)
		}
		counts, on := map[string]int{}, map[string]map[int]bool{}
		names := map[[2]string]bool{}
		for ref, node := range pods {
			counts[ref.Namespace]++
			if on[ref.Namespace] == nil {
				on[ref.Namespace] = map[int]bool{}
			}
			on[ref.Namespace][node] = true
			name := [2]string{ref.Namespace, ref.Name}
			if names[name] || !identity.ValidName(ref.Name) || len(ref.UID) != 36 {
				t.Fatalf("%v: not a name, or not the only one", ref)
			}
			names[name] = true
		}
		for namespace, n := range want {
			if counts[namespace] != n {
				t.Errorf("%d nodes: %d pods in %s, want %d", nodes, counts[namespace], namespace, n)
			}
		}
		if nodes == 1000 && (len(on["checkout"]) != 500 || len(on["search"]) != 400 || len(on) != 4+teams) {
			t.Errorf("checkout on %d nodes, search on %d, %d namespaces", len(on["checkout"]), len(on["search"]), len(on))
		}
	}
}

// In a day some pods end and others start, stateful ones go to another node
// and keep their names; there are always as many.
func TestPodsMove(t *testing.T) {
	t.Parallel()
	const block = 1_962_000 * model.BlockSeconds
	c := castOf(t, configOf(300))
	before, _ := everyone(c, block)
	uids := map[string]string{}
	for ref := range before {
		uids[ref.Namespace+"/"+ref.Name] = ref.UID
	}
	after, _ := everyone(c, block+86400)
	stayed, moved := 0, 0
	for ref, node := range after {
		if old, ok := before[ref]; ok {
			stayed++
			if old != node {
				t.Fatalf("%v went from one node to another", ref)
			}
		} else if _, ok := uids[ref.Namespace+"/"+ref.Name]; ok {
			moved++
			if !strings.Contains(ref.Name, "-db") {
				t.Fatalf("%v has an old name", ref)
			}
		}
	}
	total := 30 * 300
	// A quarter is replaced in a day, and those of jobs.
	if len(after) != total || stayed < total*60/100 || stayed > total*80/100 || moved < 100 {
		t.Errorf("of %d pods %d stayed and %d moved, now there are %d", total, stayed, moved, len(after))
	}
}

func TestSameSeedSameFleet(t *testing.T) {
	t.Parallel()
	const block = 1_962_000 * model.BlockSeconds
	refs := func(seed int64) (refs []model.PodRef) {
		cfg := configOf(10)
		cfg.Seed = seed
		c := castOf(t, cfg)
		for node := range 10 {
			for _, a := range c.scene(node, block, &model.Query{}) {
				refs = append(refs, a.ref)
			}
		}
		return refs
	}
	one := refs(1)
	if !slices.Equal(one, refs(1)) {
		t.Error("the same seed made other pods")
	}
	if slices.Equal(one, refs(2)) {
		t.Error("another seed made the same pods")
	}
}
