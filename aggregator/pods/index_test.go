package pods

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// The index is what a map would be, after any changes; and none changes an index that
// someone reads.
func TestIndexIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		model := map[string]*Pod{}
		var start []*Pod
		for range random.IntN(4000) {
			p := randomPod(random)
			if model[p.Namespace+"/"+p.Name] == nil {
				model[p.Namespace+"/"+p.Name] = p
				start = append(start, p)
			}
		}
		x := indexOf(start)
		checkIndex(t, x, model)
		for round := range 10 {
			before, was := x, maps.Clone(model)
			for range random.IntN(1000) {
				p := randomPod(random)
				if key := p.Namespace + "/" + p.Name; random.IntN(10) < round { // in the end it is empty
					delete(model, key)
					x = x.without(p.Namespace, p.Name)
				} else {
					model[key] = p
					x = x.with(p)
				}
			}
			checkIndex(t, x, model)
			checkIndex(t, before, was)
		}
		for _, p := range model {
			x = x.without(p.Namespace, p.Name)
		}
		if checkIndex(t, x, nil); len(x.chunks) != 0 {
			t.Errorf("%d chunks are left", len(x.chunks))
		}
	}
}

func randomPod(random *rand.Rand) *Pod {
	return &Pod{Namespace: fmt.Sprintf("ns%d", random.IntN(5)), Name: fmt.Sprintf("pod%d", random.IntN(1000)), UID: fmt.Sprint(random.Uint64())}
}

func checkIndex(t *testing.T, x *index, model map[string]*Pod) {
	t.Helper()
	if x.pods != len(model) {
		t.Fatalf("%d pods, want %d", x.pods, len(model))
	}
	all := slices.Collect(x.all(""))
	if len(all) != len(model) || !slices.IsSortedFunc(all, func(a, b *Pod) int { return a.compare(b.Namespace, b.Name) }) {
		t.Fatalf("all are %d, want %d; or they are not in order", len(all), len(model))
	}
	of := map[string]int{}
	for _, p := range all {
		if model[p.Namespace+"/"+p.Name] != p || x.get(p.Namespace, p.Name) != p {
			t.Fatalf("%v is not the pod of that name", p)
		}
		of[p.Namespace]++
	}
	for _, namespace := range []string{"ns0", "ns4", "ns", "ns9", "a", "z"} {
		got := slices.Collect(x.all(namespace))
		if len(got) != of[namespace] || slices.ContainsFunc(got, func(p *Pod) bool { return p.Namespace != namespace }) {
			t.Fatalf("%d pods in %s, want %d", len(got), namespace, of[namespace])
		}
	}
	for _, name := range [][2]string{{"", ""}, {"ns0", ""}, {"ns0", "z"}, {"z", "z"}} {
		if p := x.get(name[0], name[1]); p != nil {
			t.Fatalf("%v is %v", name, p)
		}
	}
	for i, chunk := range x.chunks {
		if len(chunk) == 0 || len(chunk) > maxChunk {
			t.Fatalf("chunk %d has %d pods", i, len(chunk))
		}
	}
}

// Pods that come and go in order, as a CronJob's do, leave no crumbs.
func TestChunksStayFull(t *testing.T) {
	x := &index{}
	for i := range 100_000 {
		x = x.with(&Pod{Namespace: "jobs", Name: fmt.Sprintf("job-%06d", i)})
		if i >= 3000 {
			x = x.without("jobs", fmt.Sprintf("job-%06d", i-3000))
		}
	}
	if x.pods != 3000 || len(x.chunks) > 10 {
		t.Errorf("%d pods in %d chunks", x.pods, len(x.chunks))
	}
}

// The slice of a reader ends where it wants.
func TestAllEnds(t *testing.T) {
	x := indexOf([]*Pod{{Namespace: "a", Name: "x"}, {Namespace: "a", Name: "y"}, {Namespace: "a", Name: "x"}})
	for p := range x.all("a") {
		if p.Name != "x" {
			t.Errorf("read on to %s", p.Name)
		}
		break
	}
	if x.pods != 2 {
		t.Errorf("%d pods, of which two had the same name", x.pods)
	}
}
