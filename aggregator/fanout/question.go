package fanout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// maxErr bounds the bytes of a missing node's error.
const maxErr = 250

// An Ask asks node i of a list, once, while others are asked. It returns when
// ctx ends. It tells take of bytes as they arrive, and gives up when take says
// that there may be no more. What its errors mean is for [agents.Outcome] to
// say; of an answer that is neither [coverage.OK] nor [coverage.Truncated] it
// keeps nothing.
type Ask func(ctx context.Context, i int, take func(bytes int) bool) error

// A Question is what one caller wants to know of many nodes. Its methods are
// called one after the other.
type Question struct {
	fanout   *Fanout
	deadline time.Time // of all of it
	weight   int64     // in the admission, until the nodes have been asked
	most     int64     // how many bytes all questions may hold when this one takes more

	bytes    atomic.Int64 // held: of the answers so far
	answered atomic.Int64 // nodes, and the bytes of their answers
	kept     atomic.Int64
}

// A Result is how one node's answer ended.
type Result struct {
	Outcome coverage.Outcome
	// Err is why, unless the outcome is [coverage.OK].
	Err     error
	Elapsed time.Duration
	// Asked tells whether the node's agent was tried at all.
	Asked bool
	// own tells that the outcome says something about the node, rather than
	// about the question: its budget, its end, its little time.
	own bool
}

// Coverage says which nodes the results cover.
func Coverage(nodes []string, results []Result) coverage.Coverage {
	c := coverage.Coverage{Expected: len(nodes)}
	for i := range results {
		r := &results[i]
		if r.Asked {
			c.Asked++
		}
		if r.Outcome == coverage.OK {
			c.Answered++
			continue
		}
		c.Missing = append(c.Missing, coverage.Missing{Node: nodes[i], Outcome: r.Outcome, Elapsed: r.Elapsed, Err: r.Reason()})
	}
	return c
}

// Reason is why a node did not answer, in at most maxErr bytes and without the
// node's name; empty if it did.
func (r *Result) Reason() string {
	err := r.Err
	if err == nil {
		return ""
	}
	if known, ok := errors.AsType[*agents.Error](err); ok {
		err = known.Err
	}
	text := err.Error()
	if len(text) <= maxErr {
		return text
	}
	const mark = "…"
	return strings.ToValidUTF8(text[:maxErr-len(mark)], "") + mark
}

// Do asks the nodes by calling ask for each, at most once, and returns how
// that ended, in the order of nodes. Nodes that failed just now are not asked,
// unless it is only one. It returns within the question's timeout, or as soon
// as ctx ends, and no node is being asked any more then.
func (q *Question) Do(ctx context.Context, nodes []string, ask Ask) []Result {
	limited, cancel := context.WithDeadline(ctx, q.deadline)
	defer cancel()
	a := &asking{
		question: q, fanout: q.fanout, caller: ctx, ask: ask, began: time.Now(),
		nodes: nodes, results: make([]Result, len(nodes)),
	}
	a.run(limited)
	q.leave()
	return a.results
}

// End ends the question: the bytes of its answers are held no longer. It may
// be called more than once.
func (q *Question) End() {
	q.leave()
	q.fanout.held.Add(-q.bytes.Swap(0))
}

// leave lets the next question in.
func (q *Question) leave() {
	if q.weight > 0 {
		q.fanout.admission.leave(q.weight)
		q.weight = 0
	}
}

// take counts bytes that have come (or, if negative, are not kept), and tells
// why there may be no more, if so.
func (q *Question) take(n int64) error {
	mine, all := q.bytes.Add(n), q.fanout.held.Add(n)
	switch {
	case n <= 0:
	case mine > q.fanout.queryBudget:
		return fmt.Errorf("the answers of all nodes are larger than %vB, the budget of one question%s", cli.Bytes(q.fanout.queryBudget), wayOut)
	case all > q.most:
		return fmt.Errorf("the answers to all questions are larger than the %vB that this process has for them; ask again later%s", cli.Bytes(q.most), orWayOut)
	}
	return nil
}

const (
	wayOut   = "; ask for a larger step=, a shorter window or fewer metrics="
	orWayOut = ", or for less"
)

// room tells why there is none for one more answer of the usual size, if so.
func (q *Question) room() error {
	var usual int64
	if n := q.answered.Load(); n > 0 {
		usual = q.kept.Load() / n
	}
	switch {
	case q.bytes.Load()+usual > q.fanout.queryBudget:
		return fmt.Errorf("not asked: the answers of other nodes used up the %vB of one question%s", cli.Bytes(q.fanout.queryBudget), wayOut)
	case q.fanout.held.Load()+usual > q.most:
		return fmt.Errorf("not asked: the answers to all questions used up the %vB that this process has for them; ask again later%s", cli.Bytes(q.most), orWayOut)
	}
	return nil
}
