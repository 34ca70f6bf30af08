package fullnode

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Motion is how much moves from slot to slot.
type Motion string

const (
	// Recorded moves as the recorded node did.
	Recorded Motion = "recorded"
	// Moving moves every counter of every entity in every slot.
	Moving Motion = "moving"
)

// What a full node has: as many pods as a kubelet accepts by default.
const (
	Pods       = 110
	Containers = 200
)

const (
	// replacedEvery and restartedEvery are how many slots a pod lives on
	// average, and how many a container goes without a restart: a day and four
	// days of 15 s.
	replacedEvery  = 5760
	restartedEvery = 4 * 5760
)

// A Node yields slot after slot. It is not safe for concurrent use.
type Node struct {
	motion Motion
	rng    *rand.Rand
	node   entity
	pods   []pod
	scrape model.Scrape
	slot   int64
	lived  int // entities so far
}

type pod struct {
	recorded *recordedPod
	ref      model.PodRef
	entities []entity // the pod, then its containers by name
}

// New makes a node that begins at a slot, in Unix seconds: the first answer is
// for that one. The same seed makes the same node.
func New(r *Recording, m Motion, seed uint64, slot int64) (*Node, error) {
	if m != Recorded && m != Moving {
		return nil, fmt.Errorf("motion %q is neither %s nor %s", m, Recorded, Moving)
	}
	n := &Node{motion: m, rng: rand.New(rand.NewPCG(seed, 0)), slot: slot - stepSeconds}
	answers := len(r.node)
	// A node with twice the pods spends more: a fifth of what the recorded one
	// spent was its pods'.
	n.node = newEntity(theNode, "", slot-7*86400, r.node, n.rng.IntN(answers), 1.2)
	containers := 0
	for i := range Pods {
		p := pod{recorded: &r.pods[i%len(r.pods)]}
		offset, factor := n.rng.IntN(answers), 0.9+0.2*n.rng.Float64()
		age := 3600 + n.rng.Int64N(2*86400)
		p.ref = n.newRef(p.recorded)
		p.entities = append(p.entities, newEntity(aPod, "", slot-age, p.recorded.own, offset, factor))
		for _, c := range p.recorded.containers {
			p.entities = append(p.entities, newEntity(aContainer, c.name, slot-age+2, c.readings, offset, factor))
		}
		containers += len(p.recorded.containers)
		n.pods = append(n.pods, p)
	}
	// Sidecars make up the number: containers as other pods have them.
	for i := 0; containers < Containers; i++ {
		p, other := &n.pods[i%Pods], &r.pods[(i+7)%len(r.pods)]
		own := &p.entities[0]
		p.entities = append(p.entities, newEntity(aContainer, "sidecar-"+fmt.Sprint(i/Pods), own.sample.Start+2, other.containers[0].readings, own.at, own.factor))
		containers++
	}
	for i := range n.pods {
		sortEntities(n.pods[i].entities)
	}
	n.lived = 1 + Pods + Containers
	n.group()
	return n, nil
}

// sortEntities orders a pod, whose name as an entity is empty, and its containers.
func sortEntities(entities []entity) {
	slices.SortFunc(entities, func(a, b entity) int { return strings.Compare(a.sample.Name, b.sample.Name) })
}

// newRef names a pod of the recorded one's workload.
func (n *Node) newRef(r *recordedPod) model.PodRef {
	a, b := n.rng.Uint64(), n.rng.Uint64()
	return model.PodRef{
		Namespace: r.namespace,
		Name:      fmt.Sprintf("%s-%05x", r.workload, a>>44),
		UID:       fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a&0xffff, a>>20&0xfff, b>>52, b&(1<<48-1)),
	}
}

// Next goes on to a slot, which is after the one before, and returns what a
// full answer says. The scrape is valid until the next call and must not be
// changed.
func (n *Node) Next(slot int64) *model.Scrape {
	n.slot = slot
	moving := n.motion == Moving
	changed := false
	n.node.step(slot, moving, n.rng)
	for i := range n.pods {
		p := &n.pods[i]
		if n.rng.IntN(replacedEvery) == 0 {
			p.ref, changed = n.newRef(p.recorded), true
			n.lived += len(p.entities)
			for j := range p.entities {
				p.entities[j].restart(slot - 1)
			}
		}
		for j := range p.entities {
			e := &p.entities[j]
			if e.kind == aContainer && n.rng.IntN(restartedEvery) == 0 {
				e.restart(slot - 1)
				n.lived++
			}
			e.step(slot, moving, n.rng)
		}
	}
	if changed {
		n.group()
	}
	n.fill()
	return &n.scrape
}

// Scrape is what the last Next returned.
func (n *Node) Scrape() *model.Scrape { return &n.scrape }

// group orders the pods as a scrape does.
func (n *Node) group() {
	slices.SortFunc(n.pods, func(a, b pod) int { return a.ref.Compare(b.ref) })
	n.scrape.Groups = n.scrape.Groups[:0]
	n.scrape.Groups = append(n.scrape.Groups, model.Group{Samples: make([]model.Sample, 1)})
	for i := range n.pods {
		n.scrape.Groups = append(n.scrape.Groups, model.Group{Pod: n.pods[i].ref, Samples: make([]model.Sample, len(n.pods[i].entities))})
	}
}

func (n *Node) fill() {
	n.scrape.Groups[0].Samples[0] = n.node.sample
	for i := range n.pods {
		to := n.scrape.Groups[1+i].Samples
		for j := range n.pods[i].entities {
			to[j] = n.pods[i].entities[j].sample
		}
	}
}

// Numbers counts the numbers of a scrape, and those of them that are 0 and
// PSI: what a kubelet without PSI shows costs nothing to store.
func Numbers(s *model.Scrape) (all, noPSI int) {
	for i := range s.Groups {
		for j := range s.Groups[i].Samples {
			v := &s.Groups[i].Samples[j]
			for m := range model.NumMetrics {
				x, ok := v.Get(m)
				if !ok {
					continue
				}
				all++
				if m >= model.PSICPUSome && m <= model.PSIIOFull && x == 0 {
					noPSI++
				}
			}
		}
	}
	return all, noPSI
}
