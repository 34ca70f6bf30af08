package fanout

import (
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// forgetAfter is how long a node is remembered after it was last asked. Only
// nodes that were expected are asked, so that bounds the memory: 100 bytes a
// node, 300 if it ever failed.
const forgetAfter = time.Hour

// history is what the last questions said about each node. It is safe for
// concurrent use.
type history struct {
	mu        sync.Mutex
	nodes     map[string]*record
	answers   map[coverage.Outcome]uint64
	questions uint64
	swept     time.Time
}

// record is the last result of one node that was its own.
type record struct {
	outcome  coverage.Outcome
	at       time.Time
	latency  time.Duration
	failures int // since it last answered
	// err is the last failure, which may be long past.
	err   string
	errAt time.Time
}

func newHistory() *history {
	return &history{nodes: map[string]*record{}, answers: map[coverage.Outcome]uint64{}, swept: time.Now()}
}

// order returns the indexes of nodes in the order in which to ask them: those
// that answered the last time, those of which nothing is known, those that
// failed. Bad nodes then hold up each other, and not the good ones.
func (h *history) order(nodes []string) []int {
	order := make([]int, 0, len(nodes))
	var unknown, failing []int
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, node := range nodes {
		switch r := h.nodes[node]; {
		case r == nil:
			unknown = append(unknown, i)
		case r.failures > 0:
			failing = append(failing, i)
		default:
			order = append(order, i)
		}
	}
	return append(append(order, unknown...), failing...)
}

// add records the results of a question.
func (h *history) add(nodes []string, results []result, outcomes map[coverage.Outcome]int) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.questions++
	for o, n := range outcomes {
		h.answers[o] += uint64(n)
	}
	for i := range results {
		if results[i].own {
			h.record(nodes[i]).add(&results[i], now)
		}
	}
	if now.Sub(h.swept) >= forgetAfter/4 {
		h.swept = now
		for node, r := range h.nodes {
			if now.Sub(r.at) >= forgetAfter {
				delete(h.nodes, node)
			}
		}
	}
}

func (h *history) record(node string) *record {
	r := h.nodes[node]
	if r == nil {
		r = new(record)
		h.nodes[node] = r
	}
	return r
}

func (r *record) add(res *result, now time.Time) {
	r.outcome, r.at, r.latency = res.outcome, now, res.elapsed
	if res.outcome == coverage.OK {
		r.failures = 0
		return
	}
	r.failures++
	r.err, r.errAt = short(res.err), now
}
