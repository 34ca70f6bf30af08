package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// relistAfter is how old a node's list of pods may get, in seconds, although
// all changes since then are known: an agent that was given back its old disk
// has more than it said. Listing a day takes an agent milliseconds.
const relistAfter = 3600

// An answer is a node's newest scrape. It never changes once it is made.
type answer struct {
	slot int64         // of the scrape, in Unix seconds; 0: the node has none
	own  [][]byte      // the chunk of the node itself, nil if there is none
	pods []chunk.Chunk // by namespace, name and UID
	size int           // bytes of all chunks
	keep time.Duration // how long the node's samples are kept
	// asked and listed are the slots of the last flights in which the node gave
	// a whole answer, and named all of its pods; 0: never.
	asked, listed int64
}

// A question is what one node is asked in a flight.
type question struct {
	node   int32   // its number
	before *answer // in an earlier flight, or nil
	to     int64   // the flight's slot
	list   bool    // it shall name all of its pods
}

// since is what to ask the node for.
func (q *question) since() int64 {
	if q.list {
		return 0
	}
	return q.before.asked
}

// understand reads what a node said, and what changes in the index by it. If it
// is only a part, nothing is concluded from what is not there.
func (q *question) understand(said *agents.Latest, whole bool) (*answer, []change, error) {
	a := &answer{keep: said.Retention, pods: make([]chunk.Chunk, 0, len(said.Chunks))}
	var known []chunk.Chunk
	if q.before != nil {
		known, a.asked, a.listed = q.before.pods, q.before.asked, q.before.listed
	}
	if whole {
		a.asked = q.to
		if q.list {
			a.listed = q.to
		}
	}
	sorted, old := true, known
	for i, b := range said.Chunks {
		var like model.PodRef
		if len(old) > 0 {
			like = old[0].Pod
		}
		c, err := chunk.ParseLike(b, like)
		if err != nil {
			return nil, nil, err
		}
		a.size += len(b)
		if i == 0 {
			if a.slot, err = slotOf(c, q.to); err != nil {
				return nil, nil, err
			}
		}
		if c.Pod == (model.PodRef{}) {
			a.own = [][]byte{b}
			continue
		}
		for len(old) > 0 && old[0].Pod.Compare(c.Pod) <= 0 {
			old = old[1:]
		}
		if n := len(a.pods); n > 0 && a.pods[n-1].Pod.Compare(c.Pod) >= 0 {
			sorted = false
		}
		a.pods = append(a.pods, c)
	}
	if !sorted {
		a.pods = tidy(a.pods)
	}
	return a, q.changes(a, known, said.Pods, whole), nil
}

// slotOf is the slot of the chunk's first row.
func slotOf(c chunk.Chunk, to int64) (int64, error) {
	var d chunk.Decoder
	d.Reset(c)
	if !d.Next() {
		return 0, fmt.Errorf("chunk without rows: %w", d.Err())
	}
	slot := d.Row().Slot
	if slot > to {
		return 0, fmt.Errorf("asked for slots up to %d, it answers with slot %d", to, slot)
	}
	return slot, nil
}

// tidy sorts chunks that came in disorder, and keeps the last of several of
// one pod.
func tidy(pods []chunk.Chunk) []chunk.Chunk {
	slices.SortStableFunc(pods, func(a, b chunk.Chunk) int { return a.Pod.Compare(b.Pod) })
	kept := pods[:0]
	for i := range pods {
		if i+1 == len(pods) || pods[i+1].Pod != pods[i].Pod {
			kept = append(kept, pods[i])
		}
	}
	return kept
}

// changes are what an answer changes in the index: pods that were not in the
// answer before, pods that no longer are, and pods that are only named.
func (q *question) changes(a *answer, before []chunk.Chunk, named []agents.PodName, whole bool) []change {
	var all []change
	add := func(namespace, pod string, gone int64) {
		all = append(all, change{namespace: namespace, place: place{pod, q.node, gone}})
	}
	now := a.pods
	for len(before) > 0 || len(now) > 0 {
		switch d := compareNames(before, now); {
		case d < 0:
			if whole {
				add(before[0].Pod.Namespace, before[0].Pod.Name, q.to)
			}
			before = skip(before)
		case d > 0:
			add(now[0].Pod.Namespace, now[0].Pod.Name, 0)
			now = skip(now)
		default:
			before, now = skip(before), skip(now)
		}
	}
	for _, n := range named {
		if !a.has(n.Namespace, n.Name) {
			add(n.Namespace, n.Name, q.to)
		}
	}
	return all
}

// compareNames compares the first pods of two lists by name; an empty list
// comes last.
func compareNames(x, y []chunk.Chunk) int {
	switch {
	case len(x) == 0:
		return 1
	case len(y) == 0:
		return -1
	}
	return compareName(x[0].Pod, y[0].Pod.Namespace, y[0].Pod.Name)
}

func compareName(ref model.PodRef, namespace, pod string) int {
	if d := strings.Compare(ref.Namespace, namespace); d != 0 {
		return d
	}
	return strings.Compare(ref.Name, pod)
}

// skip skips the first pod, all UIDs of it.
func skip(pods []chunk.Chunk) []chunk.Chunk {
	first := pods[0].Pod
	for len(pods) > 0 && pods[0].Pod.Namespace == first.Namespace && pods[0].Pod.Name == first.Name {
		pods = pods[1:]
	}
	return pods
}

// find returns the index of the pod's first chunk.
func (a *answer) find(namespace, pod string) (int, bool) {
	return slices.BinarySearchFunc(a.pods, 0, func(c chunk.Chunk, _ int) int { return compareName(c.Pod, namespace, pod) })
}

func (a *answer) has(namespace, pod string) bool {
	_, ok := a.find(namespace, pod)
	return ok
}
