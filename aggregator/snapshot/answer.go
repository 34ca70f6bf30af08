package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// relistAfter is how old a node's list of pods may get, in seconds, although
// all changes since then are known: an agent that was given back its old disk
// has more than it said. Listing a day takes an agent milliseconds.
const relistAfter = 3600

// relistFailed is how long a node is not asked for its list again that could not
// read all of it, in seconds.
const relistFailed = 300

const (
	// maxPods is how many pods a node can have in one scrape; Kubernetes is
	// tested with 110, and large nodes are run with 500.
	maxPods = 4096
	// maxPlaces is how many pods are remembered of one node, which is 1.5 MB: a
	// pod every 5 s for a day. Of a node that had more it is not known which.
	maxPlaces = 20_000
)

// An answer is a node's newest scrape. It never changes once it is made.
type answer struct {
	slot  int64         // of the scrape, in Unix seconds; 0: the node has none
	own   [][]byte      // the chunk of the node itself, nil if there is none
	pods  [][]byte      // their chunks, by namespace, name and UID
	twice bool          // a pod may be there under two UIDs
	size  int           // bytes of all chunks
	keep  time.Duration // how long the node's samples are kept
	// asked and listed are the slots of the last flights in which the node gave
	// a whole answer, and named all of its pods; 0: never.
	asked, listed int64
	// tried is the slot of the last flight in which it was to name them.
	tried int64
}

// wantsList tells whether to ask the node for the names of all its pods in the
// flight for a slot. Nodes do so in turn, not all in the same slot.
func (a *answer) wantsList(slot int64, node int32) bool {
	switch {
	case a == nil, a.asked == 0:
		return true
	case a.listed == 0:
		return slot-a.tried >= relistFailed
	}
	return slot-a.listed >= relistAfter+int64(node%relistFailed)
}

// shown tells whether the answer has values that are shown in a slot.
func (a *answer) shown(slot int64, resolution time.Duration) bool {
	return a != nil && a.slot != 0 && slot-a.slot <= model.StaleSlots*int64(resolution/time.Second)
}

// whole tells that the answer is not a part of a scrape.
func (a *answer) whole() bool { return a.asked >= a.slot }

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
	a := &answer{keep: said.Retention, pods: said.Chunks}
	var before [][]byte
	if q.before != nil {
		before, a.asked, a.listed, a.tried = q.before.pods, q.before.asked, q.before.listed, q.before.tried
	}
	if q.list {
		a.tried = q.to
	}
	if whole {
		a.asked = q.to
		if q.list {
			a.listed = q.to
		}
	}
	if said.Unlisted != "" {
		a.listed = 0
	}
	if len(said.Chunks) > maxPods || len(said.Pods) > maxPlaces {
		return nil, nil, fmt.Errorf("%d pods and the names of %d more: that cannot be", len(said.Chunks), len(said.Pods))
	}
	var last chunk.Names
	sorted := true
	for i, b := range said.Chunks {
		n, err := chunk.NamesOf(b)
		if err != nil {
			return nil, nil, err
		}
		slot, err := slotOf(b, q.to)
		if err != nil {
			return nil, nil, err
		}
		if i > 0 && slot != a.slot {
			return nil, nil, fmt.Errorf("a scrape of the slots %d and %d", a.slot, slot)
		}
		a.slot = slot
		a.size += len(b)
		sorted = sorted && (i == 0 || last.Compare(&n) < 0)
		a.twice = a.twice || (i > 0 && bytes.Equal(last.Name, n.Name) && bytes.Equal(last.Namespace, n.Namespace))
		last = n
	}
	if !sorted {
		a.pods, a.twice = tidy(a.pods), true
	}
	if len(a.pods) > 0 {
		if n := namesOf(a.pods[0]); len(n.Namespace) == 0 && len(n.Name) == 0 { // comes first
			a.own, a.pods = a.pods[:1:1], a.pods[1:]
		}
	}
	return a, q.changes(a, before, said.Pods, whole), nil
}

// slotOf is the slot of the chunk's row.
func slotOf(b []byte, to int64) (int64, error) {
	slot, ok := chunk.First(b)
	switch {
	case !ok || slot <= 0:
		return 0, errors.New("chunk without rows")
	case slot > to:
		return 0, fmt.Errorf("asked for slots up to %d, it answers with slot %d", to, slot)
	}
	return slot, nil
}

// namesOf are the names of a chunk that has been looked at before.
func namesOf(b []byte) chunk.Names {
	n, _ := chunk.NamesOf(b)
	return n
}

// tidy sorts chunks that came in disorder, and keeps the last of several of
// one pod.
func tidy(pods [][]byte) [][]byte {
	compare := func(a, b []byte) int {
		x, y := namesOf(a), namesOf(b)
		return x.Compare(&y)
	}
	slices.SortStableFunc(pods, compare)
	kept := pods[:0]
	for i := range pods {
		if i+1 == len(pods) || compare(pods[i+1], pods[i]) != 0 {
			kept = append(kept, pods[i])
		}
	}
	return kept
}

// changes are what an answer changes in the index: pods that were not in the
// answer before, pods that no longer are, and pods that are only named.
func (q *question) changes(a *answer, before [][]byte, named []agents.PodName, whole bool) []change {
	var all []change
	add := func(namespace, pod string, gone int64) {
		all = append(all, change{namespace: namespace, place: place{pod, q.node, gone}})
	}
	now := a.pods
	for len(before) > 0 || len(now) > 0 {
		var was, is chunk.Names
		d := 0
		switch {
		case len(before) == 0:
			d, is = 1, namesOf(now[0])
		case len(now) == 0:
			d, was = -1, namesOf(before[0])
		default:
			was, is = namesOf(before[0]), namesOf(now[0])
			d = was.Compare(&is)
		}
		// Of a pod that has another UID now, both come, the older one first.
		if d <= 0 {
			before = before[1:]
		}
		if d >= 0 {
			now = now[1:]
		}
		switch {
		case d > 0:
			add(string(is.Namespace), string(is.Name), 0)
		case d < 0 && whole:
			if namespace, pod := string(was.Namespace), string(was.Name); !a.has(namespace, pod) {
				add(namespace, pod, q.to)
			}
		}
	}
	for _, n := range named {
		if !a.has(n.Namespace, n.Name) {
			add(n.Namespace, n.Name, q.to)
		}
	}
	return all
}

// compareName compares the pod of a chunk, without its UID.
func compareName(b []byte, namespace, pod string) int {
	n := namesOf(b)
	if d := compareString(n.Namespace, namespace); d != 0 {
		return d
	}
	return compareString(n.Name, pod)
}

func compareString(b []byte, s string) int {
	switch {
	case string(b) < s:
		return -1
	case string(b) > s:
		return 1
	}
	return 0
}

// find returns the index of the pod's first chunk.
func (a *answer) find(namespace, pod string) (int, bool) {
	return slices.BinarySearchFunc(a.pods, 0, func(b []byte, _ int) int { return compareName(b, namespace, pod) })
}

func (a *answer) has(namespace, pod string) bool {
	_, ok := a.find(namespace, pod)
	return ok
}
