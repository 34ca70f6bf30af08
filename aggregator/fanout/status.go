package fanout

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

const (
	// maxSlowest is how many of the slowest nodes a status lists: a screenful.
	maxSlowest = 20
	// maxFailing is how many failing nodes it lists, as in a coverage.
	maxFailing = coverage.MaxListed
)

// A Status is how the questions went, as JSON.
type Status struct {
	// Places is how many nodes one question asks at a time, InFlight how many
	// all questions are asking now.
	Places   int `json:"places"`
	InFlight int `json:"inFlight"`
	// Questions and Answers, by outcome, since the process started.
	Questions uint64                      `json:"questions"`
	Answers   map[coverage.Outcome]uint64 `json:"answers"`
	// Nodes were asked within the last hour; Failing of them did not answer the
	// last time.
	Nodes   int `json:"nodes"`
	Failing int `json:"failing"`
	// FailingNodes are the first 100 of those, the longest failing first.
	FailingNodes []NodeStatus `json:"failingNodes"`
	// SlowestNodes are the 20 whose last answers took the longest.
	SlowestNodes []NodeStatus `json:"slowestNodes"`
}

// A NodeStatus is how a node did the last time it was asked.
type NodeStatus struct {
	Node      string           `json:"node"`
	Outcome   coverage.Outcome `json:"outcome"`
	At        time.Time        `json:"at"`
	LatencyMs float64          `json:"latencyMs"`
	// Failures since it last answered.
	Failures int `json:"failures"`
	// LastError may be long past.
	LastError   string    `json:"lastError,omitempty"`
	LastErrorAt time.Time `json:"lastErrorAt,omitzero"`
}

func (h *history) status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Status{
		Questions: h.questions, Answers: maps.Clone(h.answers), Nodes: len(h.nodes),
		FailingNodes: []NodeStatus{}, SlowestNodes: []NodeStatus{},
	}
	for node, r := range h.nodes {
		if r.failures > 0 {
			s.FailingNodes = append(s.FailingNodes, r.status(node))
		} else {
			s.SlowestNodes = append(s.SlowestNodes, r.status(node))
		}
	}
	s.Failing = len(s.FailingNodes)
	slices.SortFunc(s.FailingNodes, func(a, b NodeStatus) int {
		return cmp.Or(cmp.Compare(b.Failures, a.Failures), cmp.Compare(a.Node, b.Node))
	})
	slices.SortFunc(s.SlowestNodes, func(a, b NodeStatus) int {
		return cmp.Or(cmp.Compare(b.LatencyMs, a.LatencyMs), cmp.Compare(a.Node, b.Node))
	})
	s.FailingNodes = s.FailingNodes[:min(len(s.FailingNodes), maxFailing)]
	s.SlowestNodes = s.SlowestNodes[:min(len(s.SlowestNodes), maxSlowest)]
	return s
}

func (r *record) status(node string) NodeStatus {
	return NodeStatus{
		Node: node, Outcome: r.outcome, At: r.at, LatencyMs: float64(r.latency.Microseconds()) / 1000,
		Failures: r.failures, LastError: r.err, LastErrorAt: r.errAt,
	}
}
