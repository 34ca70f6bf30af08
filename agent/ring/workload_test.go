package ring_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// base is a block's start, in Unix seconds: where the tests' clocks begin.
const base = 1795230000

// A workload makes up what a node's kubelet answers: pods that come, go and
// restart, metrics that come and go, values of every size.
type workload struct {
	rng   *rand.Rand
	pods  int // about so many
	alive []model.Group
	node  model.Sample
	born  int
}

func newWorkload(rng *rand.Rand, pods int) *workload {
	return &workload{rng: rng, pods: pods, node: model.Sample{Start: base - 1000}}
}

// names begin with each other, so that a filter that takes a prefix for a name
// is found out; the longest are as long as Kubernetes allows.
var (
	namespaces = []string{"a", "a-b", "ab", "b", strings.Repeat("n", 63)}
	podNames   = []string{"p", "p-0", "p-1", "pp", "q", strings.Repeat("x", 253)}
	containers = []string{"app", "app2", "envoy"}
)

// next is the answer for a slot.
func (w *workload) next(slot int64) *model.Scrape {
	for i := 0; i < len(w.alive); i++ {
		switch w.rng.IntN(24) {
		case 0: // it is gone
			w.alive = slices.Delete(w.alive, i, i+1)
			i--
		case 1: // the same name, another pod
			w.alive[i].Pod.UID = w.uid()
		}
	}
	for len(w.alive) < w.pods && w.rng.IntN(3) == 0 {
		w.add(slot)
	}
	s := &model.Scrape{}
	if w.rng.IntN(20) > 0 {
		w.change(&w.node)
		s.Groups = append(s.Groups, model.Group{Samples: []model.Sample{w.node}})
	}
	for i := range w.alive {
		if g := w.group(&w.alive[i], slot); w.rng.IntN(20) > 0 && len(g.Samples) > 0 {
			s.Groups = append(s.Groups, g)
		}
	}
	if len(s.Groups) == 0 {
		s.Groups = []model.Group{{Samples: []model.Sample{w.node}}}
	}
	return s
}

func (w *workload) uid() string {
	w.born++
	return fmt.Sprint("uid-", w.born)
}

// add lets a pod begin, unless there is one of that name.
func (w *workload) add(slot int64) {
	ref := model.PodRef{Namespace: pick(w.rng, namespaces), Name: pick(w.rng, podNames), UID: w.uid()}
	at, _ := slices.BinarySearchFunc(w.alive, ref, func(g model.Group, r model.PodRef) int { return g.Pod.Compare(r) })
	g := model.Group{Pod: ref, Samples: []model.Sample{{Start: slot - w.rng.Int64N(100)}}}
	for _, c := range containers[:w.rng.IntN(len(containers)+1)] {
		g.Samples = append(g.Samples, model.Sample{Name: c, Start: slot - w.rng.Int64N(100)})
	}
	w.alive = slices.Insert(w.alive, at, g)
}

// group is what is reported of a pod: sometimes not all of its containers.
func (w *workload) group(g *model.Group, slot int64) model.Group {
	out := model.Group{Pod: g.Pod}
	for i := range g.Samples {
		s := &g.Samples[i]
		if s.Name != "" && w.rng.IntN(30) == 0 {
			s.Start = slot // it restarted
		}
		w.change(s)
		if w.rng.IntN(15) > 0 {
			out.Samples = append(out.Samples, *s)
		}
	}
	return out
}

// change changes some of a sample's metrics, by steps of every size.
func (w *workload) change(s *model.Sample) {
	for m := range model.CPUWindow { // those that are stored
		old, _ := s.Get(m)
		switch w.rng.IntN(10) {
		case 0, 1:
			s.Set(m, old+w.rng.Uint64()>>w.rng.IntN(64))
		case 2:
			s.Set(m, old-w.rng.Uint64()>>w.rng.IntN(64))
		case 3:
			s.Set(m, old+4096*(w.rng.Uint64()>>(12+w.rng.IntN(52))))
		case 4:
			s.Set(m, pick(w.rng, []uint64{0, 1, 4095, 4096, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}))
		case 5:
			s.Unset(m)
		}
	}
}

func pick[T any](rng *rand.Rand, of []T) T { return of[rng.IntN(len(of))] }
