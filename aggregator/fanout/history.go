package fanout

import (
	"errors"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// forgetAfter is how long a node is remembered after it was last asked. Only
// nodes that were expected are asked, so that bounds the memory: 250 bytes a
// node, 500 if it ever failed.
const forgetAfter = time.Hour

// history is what the last questions said about each node. It is safe for
// concurrent use.
type history struct {
	incarnation func(node string) agents.Incarnation

	mu        sync.Mutex
	nodes     map[string]*record
	answers   map[coverage.Outcome]uint64
	questions uint64
	swept     time.Time
}

// record is the last result of one node that was its own.
type record struct {
	breaker
	outcome  coverage.Outcome // "" if there is none yet
	at       time.Time
	latency  time.Duration
	failures int // since it last answered
	// err is the last failure, which may be long past.
	err   string
	errAt time.Time
}

func newHistory(incarnation func(string) agents.Incarnation) *history {
	return &history{
		incarnation: incarnation,
		nodes:       map[string]*record{}, answers: map[coverage.Outcome]uint64{}, swept: time.Now(),
	}
}

// A plan is whom of its nodes a question asks.
type plan struct {
	records []*record // of all nodes
	// ask are the indexes of nodes to ask, in that order: those that answered the
	// last time, those of which nothing is known, those that failed. Bad nodes
	// then hold up each other, and not the good ones.
	ask []int
	// due are those to be probed first.
	due []int
}

// plan makes the plan of a question and fills in the results of nodes that it
// does not ask. A question to one node asks it in any case.
func (h *history) plan(nodes []string, results []Result, now time.Time) plan {
	p := plan{records: make([]*record, len(nodes)), ask: make([]int, 0, len(nodes))}
	var unknown, failed []int
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, node := range nodes {
		r := h.nodes[node]
		if r == nil {
			r = &record{at: now}
			h.nodes[node] = r
		}
		p.records[i] = r
		if r.state(now) != closed && r.who != h.incarnation(node) {
			r.close() // it was another one that failed
		}
		switch s := r.state(now); {
		case s == due && len(nodes) > 1:
			p.due = append(p.due, i)
		case s == open && len(nodes) > 1:
			results[i] = r.notAsked(now)
		case r.outcome == coverage.OK:
			p.ask = append(p.ask, i)
		case r.outcome == "":
			unknown = append(unknown, i)
		default:
			failed = append(failed, i)
		}
	}
	p.ask = append(append(p.ask, unknown...), failed...)
	return p
}

// add records the results of a question, and fills in those of nodes that it
// would have asked, had a probe come back.
func (h *history) add(p plan, nodes []string, results []Result, now time.Time) map[coverage.Outcome]int {
	outcomes := map[coverage.Outcome]int{}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.questions++
	for i, r := range p.records {
		switch res := &results[i]; {
		case res.Outcome == "":
			*res = r.notAsked(now)
		case res.own:
			h.record(r, nodes[i], res, now)
		}
		outcomes[results[i].Outcome]++
	}
	for o, n := range outcomes {
		h.answers[o] += uint64(n)
	}
	if now.Sub(h.swept) >= forgetAfter/4 {
		h.swept = now
		for node, r := range h.nodes {
			if now.Sub(r.at) >= forgetAfter {
				delete(h.nodes, node)
			}
		}
	}
	return outcomes
}

// record takes over how a node's answer ended.
func (h *history) record(r *record, node string, res *Result, now time.Time) {
	r.outcome, r.at, r.latency = res.Outcome, now, res.Elapsed
	if res.Outcome == coverage.OK {
		r.failures = 0
	} else {
		r.failures++
		r.err, r.errAt = res.Reason(), now
	}
	switch answers, fails := judge(res.Outcome, res.Err); {
	case answers:
		r.close()
	case fails:
		r.fail(h.culprit(node, res.Err), now)
	}
}

// culprit is who failed: the agent that was asked, not one that has come since.
func (h *history) culprit(node string, err error) agents.Incarnation {
	if e, ok := errors.AsType[*agents.Error](err); ok && e.Who != (agents.Incarnation{}) {
		return e.Who
	}
	return h.incarnation(node)
}

// broken is how many breakers are not closed.
func (h *history) broken() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.nodes {
		if r.backoff > 0 {
			n++
		}
	}
	return n
}

// probed records how a probe ended and tells whether the node may be asked.
func (h *history) probed(node string, err error, took time.Duration) bool {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.nodes[node]
	if r == nil {
		return false
	}
	res := Result{Outcome: agents.Outcome(err), Err: err, Elapsed: took}
	switch answers, fails := judge(res.Outcome, res.Err); {
	case fails:
		h.record(r, node, &res, now)
		return false
	case answers:
		r.prove()
	default:
		r.close() // it left, as the question will say
	}
	return true
}

// notAsked is the result of a node that is not asked because of its breaker.
func (r *record) notAsked(now time.Time) Result {
	if s := r.state(now); s == closed || s == halfOpen {
		return Result{Outcome: coverage.Timeout, Err: errLate}
	}
	return Result{Outcome: r.outcome, Err: &notAskedError{
		failures: r.failures, last: r.err, ago: now.Sub(r.errAt), in: r.until.Sub(now),
	}}
}
