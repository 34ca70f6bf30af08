package snapshot

import (
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// stats are the numbers of a view.
type stats struct {
	nodes      map[coverage.Outcome]int
	pods       int
	bytes      int // of chunks
	largest    int // bytes of the largest node's
	places     int
	gone       int
	namespaces int
	oldest     oldest
}

// oldest is the node whose newest scrape is older than that of any other.
type oldest struct {
	node string
	slot int64 // Unix seconds; 0: none
}

func (s *stats) add(x *seen, a *answer) {
	if a != nil && a.slot != 0 && (s.oldest.slot == 0 || a.slot < s.oldest.slot) {
		s.oldest = oldest{x.name, a.slot}
	}
	if s.nodes == nil {
		s.nodes = map[coverage.Outcome]int{}
	}
	outcome := coverage.OK
	if x.missing != nil {
		outcome = x.missing.Outcome
	}
	s.nodes[outcome]++
	if x.answer != nil {
		s.pods += len(x.answer.pods)
		s.bytes += x.answer.size
		s.largest = max(s.largest, x.answer.size)
	}
}

func (s *stats) index(x *index) {
	s.places, s.gone = x.count()
	s.namespaces = len(x.namespaces)
}

// A Status is the state of the snapshot, as JSON.
type Status struct {
	// Slot is the one that was shown last, nil before the first question; the next
	// question asks the nodes, or waits for what they say, if it is older than Due.
	Slot *time.Time `json:"slot,omitempty"`
	Due  time.Time  `json:"due"`
	// Expected is how many nodes are expected now. Nodes are those of the slot by
	// outcome.
	Expected int                      `json:"expected"`
	Nodes    map[coverage.Outcome]int `json:"nodes"`
	// Oldest is the node whose newest sample is older than that of any other that has
	// ever answered, also where that is too old to be shown.
	Oldest *OldestNode `json:"oldest,omitempty"`
	// Pods are those with values, Bytes what their chunks and the nodes' take,
	// LargestNode those of one node at most; an agent's answer may have 1 MiB.
	Pods        int `json:"pods"`
	Bytes       int `json:"bytes"`
	LargestNode int `json:"largestNodeBytes"`
	// Directory is which nodes have had which pods: so many pairs in so many
	// namespaces, of which Gone are of pods that are not there any more.
	Directory  int `json:"directory"`
	Gone       int `json:"gone"`
	Namespaces int `json:"namespaces"`
	// Asking tells since when nodes are being asked, if they are, and how many.
	Asking *Asking `json:"asking,omitempty"`
	// Missing are the first 100 nodes without values of the slot, by name.
	Missing []MissingNode `json:"missing"`
}

// Asking is a question to nodes that is under way.
type Asking struct {
	Since time.Time `json:"since"`
	Slot  time.Time `json:"slot"`
	Nodes int       `json:"nodes"`
}

// An OldestNode is a node, and the slot of its newest sample.
type OldestNode struct {
	Node string    `json:"node"`
	Slot time.Time `json:"slot"`
}

// A MissingNode is a node without values of the slot; AgeSeconds is how much
// older those are that are shown instead.
type MissingNode struct {
	Node       string           `json:"node"`
	Outcome    coverage.Outcome `json:"outcome"`
	AgeSeconds int              `json:"ageSeconds,omitempty"`
	Error      string           `json:"error,omitempty"`
}

// Status is the state of the snapshot, for /debug/snapshot. It asks nobody.
func (s *Snapshot) Status() Status {
	s.mu.Lock()
	f := s.flight
	s.mu.Unlock()
	v := s.current.Load()
	due := time.Unix(s.shown(), 0).UTC()
	st := Status{
		Due: due, Expected: len(s.expected.Nodes()), Nodes: v.stats.nodes, Pods: v.stats.pods, Bytes: v.stats.bytes, LargestNode: v.stats.largest,
		Directory: v.stats.places, Gone: v.stats.gone, Namespaces: v.stats.namespaces, Missing: []MissingNode{},
	}
	if v.slot != 0 {
		slot := time.Unix(v.slot, 0).UTC()
		st.Slot = &slot
	}
	if o := v.stats.oldest; o.slot != 0 {
		st.Oldest = &OldestNode{o.node, time.Unix(o.slot, 0).UTC()}
	}
	if f != nil {
		st.Asking = &Asking{Since: f.began, Slot: time.Unix(f.slot, 0).UTC(), Nodes: len(f.nodes)}
	}
	for _, x := range v.nodes {
		if x != nil && x.missing != nil {
			m := x.missing
			st.Missing = append(st.Missing, MissingNode{m.Node, m.Outcome, int(m.Age / time.Second), m.Err})
		}
	}
	slices.SortFunc(st.Missing, func(a, b MissingNode) int { return strings.Compare(a.Node, b.Node) })
	st.Missing = st.Missing[:min(len(st.Missing), coverage.MaxListed)]
	return st
}
