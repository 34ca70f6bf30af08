package snapshot

import (
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// A View is the snapshot of one slot. It never changes.
type View struct {
	slot       int64 // Unix seconds
	resolution time.Duration
	expected   []string // by name
	seen       []seen   // of each of expected
	nodes      []*seen  // by number, into seen; nil: none
	index      *index
	ok         int       // nodes that are complete
	whole      bool      // all nodes were asked, none is still to answer
	retry      time.Time // when a failed node may be asked again; zero: none failed
	tag        string
	stats      stats
}

// seen is one node as a view has it.
type seen struct {
	name    string
	answer  *answer           // nil: nothing to show
	missing *coverage.Missing // nil: complete
	asked   bool
	// pending tells that it was not asked for the view's slot yet, or has not
	// answered.
	pending bool
	// listed tells that all pods that the node had samples of when it last
	// answered are in the index; current, that this was in the view's slot.
	listed, current bool
}

// view makes a view of what is known. The caller holds s.mu.
func (s *Snapshot) view(f *flight) *View {
	v := &View{slot: f.slot, resolution: s.resolution, expected: f.expected, index: s.index, nodes: make([]*seen, len(s.nodes.all)), whole: true}
	v.seen = make([]seen, len(f.expected))
	names := fnv.New64a() // of the complete nodes
	for i, name := range f.expected {
		n := s.nodes.of(name)
		v.seen[i] = v.see(n)
		v.nodes[n.number] = &v.seen[i]
		v.whole = v.whole && n.tried == f.slot
		if v.seen[i].missing == nil {
			v.ok++
			_, _ = names.Write([]byte(name))
		} else if retry := n.retry(f.slot); !retry.IsZero() && (v.retry.IsZero() || retry.Before(v.retry)) {
			v.retry = retry
		}
		v.stats.add(&v.seen[i], n.answer)
	}
	v.stats.index(v.index)
	v.tag = fmt.Sprintf("%d-%d-%x", v.slot, v.ok, names.Sum64())
	return v
}

// errNotYet is why a node is missing whose answer is still on its way.
var errNotYet = errors.New("it has not answered yet")

// see tells what a node is worth in the view.
func (v *View) see(n *node) seen {
	x := seen{name: n.name, asked: n.tried == v.slot && n.result.Asked}
	a := n.answer
	if a != nil {
		x.listed = a.listed != 0
		x.current = a.asked == v.slot
		x.asked = x.asked || x.current
		if a.shown(v.slot, v.resolution) {
			x.answer = a
		}
	}
	result, tried := n.result, n.tried == v.slot
	if !tried {
		x.pending = !x.current
		result.Outcome, result.Err = coverage.Timeout, errNotYet
		if x.current { // it has answered, the flight is still under way
			result.Outcome, result.Err = coverage.OK, nil
		}
	}
	m := coverage.Missing{Node: n.name, Outcome: result.Outcome, Elapsed: result.Elapsed, Err: result.Reason()}
	switch {
	case result.Outcome == coverage.OK && x.answer == nil && a.slot == 0:
		// It has no sample at all: that is its whole answer.
	case result.Outcome == coverage.OK && a.slot == v.slot:
	case x.answer != nil && a.slot == v.slot: // a part
		x.missing = &m
	case x.answer != nil:
		m.Outcome, m.Age = coverage.Stale, time.Duration(v.slot-a.slot)*time.Second
		if m.Err == "" {
			m.Err = "it has no newer sample"
		} else {
			m.Err = fmt.Sprintf("%s: %s", result.Outcome, m.Err)
		}
		x.missing = &m
	case result.Outcome == coverage.OK:
		m.Outcome, m.Err = coverage.Stale, fmt.Sprintf("its newest sample is %v older than this slot, too old to be shown", time.Duration(v.slot-a.slot)*time.Second)
		m.Age = time.Duration(v.slot-a.slot) * time.Second
		x.missing = &m
	default:
		x.missing = &m
	}
	return x
}

// due tells whether failed nodes should be asked again.
func (v *View) due(now time.Time) bool { return !v.retry.IsZero() && !now.Before(v.retry) }

// Tag says which slot it is and which nodes are complete: of whole views with
// the same tag, in whatever process, the samples are the same.
func (v *View) Tag() string { return v.tag }

// Slot is the last slot whose samples it has, in Unix seconds; 0 if it has none.
func (v *View) Slot() int64 { return v.slot }

// Coverage says how nodes are covered: one of the expected ones, those that
// Candidates has named, or all of them if nodes is nil.
func (v *View) Coverage(nodes []string) coverage.Coverage {
	var c coverage.Coverage
	all := nodes == nil
	for _, x := range v.nodes {
		if x == nil {
			continue
		}
		if !all { // in the same order
			if len(nodes) == 0 || nodes[0] != x.name {
				continue
			}
			nodes = nodes[1:]
		}
		c.Expected++
		if x.asked {
			c.Asked++
		}
		if x.missing == nil {
			c.Answered++
			continue
		}
		c.Missing = append(c.Missing, *x.missing)
	}
	return c
}

// Nodes are the newest samples of the nodes themselves: of one, or of all that
// are expected if node is empty.
func (v *View) Nodes(node string) []apiv1.NodeAnswer {
	answers := make([]apiv1.NodeAnswer, 0, len(v.expected))
	for _, x := range v.nodes {
		if x == nil || x.answer == nil || x.answer.own == nil || (node != "" && node != x.name) {
			continue
		}
		answers = append(answers, apiv1.NodeAnswer{Node: x.name, Chunks: x.answer.own})
	}
	return answers
}

// Parts are the newest samples of pods, by namespace and name: of one pod, of
// a namespace if pod is empty, of all if namespace is, too; only of those on one
// node, if node is not empty.
func (v *View) Parts(namespace, pod, node string) iter.Seq[apiv1.Part] {
	return func(yield func(apiv1.Part) bool) {
		// In a walk over all pods, each node's come one after the other.
		var next []int32
		if namespace == "" {
			next = make([]int32, len(v.nodes))
		}
		for _, ns := range v.index.find(namespace, pod) {
			for i := range ns.places {
				p := &ns.places[i]
				x := v.nodes[p.node]
				if p.gone != 0 || x == nil || x.answer == nil || (node != "" && node != x.name) {
					continue
				}
				pods := x.answer.pods
				at := 0
				if next != nil {
					at = int(next[p.node])
				}
				c, ok := partAt(pods, at, ns.name, p.pod)
				if !ok {
					at, _ = x.answer.find(ns.name, p.pod)
					c, ok = partAt(pods, at, ns.name, p.pod)
				}
				for ok {
					if !yield(apiv1.Part{Node: x.name, Chunk: c}) {
						return
					}
					at++
					if !x.answer.twice {
						break
					}
					c, ok = partAt(pods, at, ns.name, p.pod)
				}
				if next != nil {
					next[p.node] = int32(at)
				}
			}
		}
	}
}

// partAt is the chunk at an index, if it is one of that pod.
func partAt(pods [][]byte, at int, namespace, pod string) (chunk.Chunk, bool) {
	if at >= len(pods) {
		return chunk.Chunk{}, false
	}
	c, err := chunk.ParseOf(pods[at], namespace, pod)
	return c, err == nil
}

// Knows tells whether any node has samples of a pod or, if pod is empty, of a
// namespace, as far as they have said what they have.
func (v *View) Knows(namespace, pod string) bool { return len(v.index.find(namespace, pod)) > 0 }

// runs tells whether a pod is in the newest scrape of a node.
func (v *View) runs(namespace, pod string) bool {
	for _, ns := range v.index.find(namespace, pod) {
		for i := range ns.places {
			if p := &ns.places[i]; p.gone == 0 && v.nodes[p.node] != nil {
				return true
			}
		}
	}
	return false
}

// Holders are the nodes that have samples of any of the pods, by their names, from
// that slot on, in Unix seconds, as far as is known, and those that cannot say.
func (v *View) Holders(namespace string, pods []string, from int64) []string {
	known := make([]bool, len(v.nodes))
	for _, pod := range pods {
		for _, ns := range v.index.find(namespace, pod) {
			for _, p := range ns.places {
				known[p.node] = known[p.node] || p.gone == 0 || p.gone > from
			}
		}
	}
	var nodes []string
	for number, x := range v.nodes {
		if x != nil && (known[number] || !x.listed) {
			nodes = append(nodes, x.name)
		}
	}
	return nodes
}

// Candidates are the nodes that may have samples of a pod or, if pod is empty,
// of a namespace: those of which it is known, and those that cannot say now.
// Where a pod is in a newest scrape, those that cannot say do not count, as far
// as they have ever said what they have: a pod is at one place at a time.
func (v *View) Candidates(namespace, pod string) []string {
	var nodes []string
	known := make([]bool, len(v.nodes))
	alive := false
	for _, ns := range v.index.find(namespace, pod) {
		for i := range ns.places {
			known[ns.places[i].node] = true
			alive = alive || ns.places[i].gone == 0
		}
	}
	for number, x := range v.nodes {
		switch {
		case x == nil:
		case known[number], !x.listed, !x.current && (pod == "" || !alive):
			nodes = append(nodes, x.name)
		}
	}
	return nodes
}
