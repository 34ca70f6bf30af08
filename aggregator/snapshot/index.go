package snapshot

import (
	"cmp"
	"slices"
	"strings"
)

// An index says which nodes have, or had, which pods. It never changes once it
// is made; what is built from it shares the namespaces that stay the same.
type index struct {
	namespaces []*namespace // by name
}

type namespace struct {
	name   string
	places []place // by pod and node
}

// A place is one pod on one node: 32 bytes, of which there are 150,000 at 5000
// nodes, and more where pods do not live long.
type place struct {
	pod  string
	node int32 // number of the node
	// gone is the first slot, in Unix seconds, in which the node did not report
	// the pod any more; 0: it is in its newest scrape.
	gone int64
}

// forgotten as the gone of a change takes the place out of the index.
const forgotten = -1

// A change sets a place.
type change struct {
	namespace string
	place
	seq int32 // of those that are made together
}

func comparePlace(a, b place) int {
	if d := strings.Compare(a.pod, b.pod); d != 0 {
		return d
	}
	return cmp.Compare(a.node, b.node)
}

// with returns the index with the changes made, of which the last counts where
// there are several of one place. The changes are sorted in passing.
func (x *index) with(changes []change) *index {
	if len(changes) == 0 {
		return x
	}
	// The order in which they came breaks ties, not a stable sort, which does more:
	// at a start there are hundreds of thousands.
	for i := range changes {
		changes[i].seq = int32(i)
	}
	slices.SortFunc(changes, func(a, b change) int {
		if d := strings.Compare(a.namespace, b.namespace); d != 0 {
			return d
		}
		if d := comparePlace(a.place, b.place); d != 0 {
			return d
		}
		return cmp.Compare(a.seq, b.seq)
	})
	next := &index{namespaces: make([]*namespace, 0, len(x.namespaces)+1)}
	old := x.namespaces
	for len(changes) > 0 {
		name := changes[0].namespace
		n := 0
		for n < len(changes) && changes[n].namespace == name {
			n++
		}
		for len(old) > 0 && old[0].name < name {
			next.namespaces, old = append(next.namespaces, old[0]), old[1:]
		}
		ns := &namespace{name: name}
		if len(old) > 0 && old[0].name == name {
			ns, old = old[0], old[1:]
		}
		next.namespaces = append(next.namespaces, ns.with(changes[:n]))
		changes = changes[n:]
	}
	next.namespaces = append(next.namespaces, old...)
	return next
}

// with merges sorted changes into the places.
func (ns *namespace) with(changes []change) *namespace {
	next := &namespace{name: ns.name, places: make([]place, 0, len(ns.places)+len(changes))}
	old := ns.places
	for _, c := range changes {
		for len(old) > 0 && comparePlace(old[0], c.place) < 0 {
			next.places, old = append(next.places, old[0]), old[1:]
		}
		if len(old) > 0 && comparePlace(old[0], c.place) == 0 {
			c.pod, old = old[0].pod, old[1:] // one string for one name
		}
		if n := len(next.places); n > 0 && comparePlace(next.places[n-1], c.place) == 0 {
			next.places = next.places[:n-1]
		}
		if c.gone != forgotten {
			next.places = append(next.places, c.place)
		}
	}
	next.places = append(next.places, old...)
	return next
}

// without returns the index without the places that drop says, and without
// namespaces that have none left.
func (x *index) without(drop func(place) bool) *index {
	next := &index{namespaces: make([]*namespace, 0, len(x.namespaces))}
	for _, ns := range x.namespaces {
		if slices.ContainsFunc(ns.places, drop) {
			kept := make([]place, 0, len(ns.places))
			for _, p := range ns.places {
				if !drop(p) {
					kept = append(kept, p)
				}
			}
			ns = &namespace{name: ns.name, places: kept}
		}
		if len(ns.places) > 0 {
			next.namespaces = append(next.namespaces, ns)
		}
	}
	return next
}

// find returns the places of a pod, of a namespace if pod is empty, each with
// the namespace's name; all namespaces if that is empty, too.
func (x *index) find(name, pod string) (found []*namespace) {
	if name == "" {
		return x.namespaces
	}
	i, ok := slices.BinarySearchFunc(x.namespaces, name, func(ns *namespace, name string) int { return strings.Compare(ns.name, name) })
	if !ok {
		return nil
	}
	ns := x.namespaces[i]
	if pod == "" {
		return []*namespace{ns}
	}
	byPod := func(p place, pod string) int { return strings.Compare(p.pod, pod) }
	from, ok := slices.BinarySearchFunc(ns.places, pod, byPod)
	if !ok {
		return nil
	}
	to := from
	for to < len(ns.places) && ns.places[to].pod == pod {
		to++
	}
	return []*namespace{{name: ns.name, places: ns.places[from:to]}}
}

// gone counts the places of pods that are gone, by node.
func (x *index) gone(nodes int) []int {
	gone := make([]int, nodes)
	for _, ns := range x.namespaces {
		for i := range ns.places {
			if ns.places[i].gone != 0 {
				gone[ns.places[i].node]++
			}
		}
	}
	return gone
}

// count is how many places there are, and how many of them are of pods that
// are gone.
func (x *index) count() (places, gone int) {
	for _, ns := range x.namespaces {
		places += len(ns.places)
		for i := range ns.places {
			if ns.places[i].gone != 0 {
				gone++
			}
		}
	}
	return places, gone
}
