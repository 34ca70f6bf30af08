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
	for seed := range uint64(8) {
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

// Whatever comes and goes, chunks are not many and almost empty.
func TestChunksStayFull(t *testing.T) {
	jobs := func(from, to int) (pods []*Pod) {
		for i := from; i < to; i++ {
			pods = append(pods, &Pod{Namespace: "jobs", Name: fmt.Sprintf("job-%06d", i)})
		}
		return pods
	}
	for name, tc := range map[string]struct {
		was, comes []*Pod
		goes       func(i int) bool
	}{
		"as a CronJob's do":    {jobs(0, 3000), jobs(3000, 9_000), func(i int) bool { return i < 6_000 }},
		"most go":              {jobs(0, 9_000), nil, func(i int) bool { return i%100 != 0 }},
		"many come, most go":   {nil, jobs(0, 9_000), func(i int) bool { return i%100 != 0 }},
		"the ends are left":    {jobs(0, 9_000), nil, func(i int) bool { return i >= 100 && i < 8_900 }},
		"all but the first go": {jobs(0, 9_000), nil, func(i int) bool { return i > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			x := indexOf(slices.Clone(tc.was))
			for _, p := range tc.comes {
				x = x.with(p)
			}
			var leaving []*Pod
			for i, p := range slices.Concat(tc.was, tc.comes) {
				if tc.goes(i) {
					leaving = append(leaving, p)
				}
			}
			for range 2 { // forwards, and backwards
				left := x
				for _, p := range leaving {
					left = left.without(p.Namespace, p.Name)
				}
				if most := 1 + left.pods/(maxChunk/4); len(left.chunks) > most || left.pods == 0 {
					t.Errorf("%d pods in %d chunks, want %d at most", left.pods, len(left.chunks), most)
				}
				slices.Reverse(leaving)
			}
		})
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
