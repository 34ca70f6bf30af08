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
	// Full are the questions to many nodes that are being asked, Waiting those
	// that wait for them.
	Full    int `json:"full"`
	Waiting int `json:"waiting"`
	// HeldBytes are the bytes of the answers of questions that are not done,
	// QueryBudget and ProcessBudget their bounds.
	HeldBytes     int64 `json:"heldBytes"`
	QueryBudget   int64 `json:"queryBudget"`
	ProcessBudget int64 `json:"processBudget"`
	// Questions and Answers, by outcome, since the process started.
	Questions uint64                      `json:"questions"`
	Answers   map[coverage.Outcome]uint64 `json:"answers"`
	// Nodes were asked within the last hour; Failing of them did not answer the
	// last time.
	Nodes   int `json:"nodes"`
	Failing int `json:"failing"`
	// Open are those of Failing that are not asked for now, Due those that are to
	// be probed with the next question, HalfOpen those whose probe went well and
	// that the next question asks; Probing are being probed, or wait for it.
	Open     int `json:"open"`
	Due      int `json:"due"`
	HalfOpen int `json:"halfOpen"`
	Probing  int `json:"probing"`
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
	// Breaker is "open", "probe due" or "half open" of a node that is not simply
	// asked, NextProbe when it may be probed.
	Breaker   breakerState `json:"breaker,omitempty"`
	NextProbe time.Time    `json:"nextProbe,omitzero"`
}

// Status is the state of the fan-out, for /debug/fanout.
func (f *Fanout) Status() Status {
	s := f.history.status()
	s.InFlight, s.Places = int(f.inFlight.Load()), f.places
	s.Full, s.Waiting = int(f.admission.inside.Load()), int(f.admission.waiting.Load())
	s.HeldBytes, s.QueryBudget, s.ProcessBudget = f.held.Load(), f.queryBudget, f.processBudget
	s.Probing = f.lane.len()
	return s
}

func (h *history) status() Status {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Status{
		Questions: h.questions, Answers: maps.Clone(h.answers),
		FailingNodes: []NodeStatus{}, SlowestNodes: []NodeStatus{},
	}
	for node, r := range h.nodes {
		if r.outcome == "" {
			continue // its first question is on its way, or was about something else
		}
		s.Nodes++
		switch r.state(now) {
		case open:
			s.Open++
		case due:
			s.Due++
		case halfOpen:
			s.HalfOpen++
		}
		if r.failures > 0 {
			s.FailingNodes = append(s.FailingNodes, r.status(node, now))
		} else {
			s.SlowestNodes = append(s.SlowestNodes, r.status(node, now))
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

func (r *record) status(node string, now time.Time) NodeStatus {
	s := NodeStatus{
		Node: node, Outcome: r.outcome, At: r.at, LatencyMs: float64(r.latency.Microseconds()) / 1000,
		Failures: r.failures, LastError: r.err, LastErrorAt: r.errAt,
	}
	if b := r.state(now); b != closed {
		s.Breaker, s.NextProbe = b, r.until
	}
	return s
}
