package fanout

import (
	"context"
	"errors"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

const (
	// leftPercent is the part of a question's remaining time that a node may
	// have. The rest is for whatever waits for a place, and for the answer.
	leftPercent = 90
	// leastTimeout is what makes asking worth it: in less, even a good node could
	// not answer.
	leastTimeout = 5 * time.Millisecond
)

var (
	errNoTime = errors.New("not asked: no time was left")
	errGone   = errors.New("not asked: whoever wanted to know went away")
	errLate   = errors.New("not asked: it answers again, but too late for this question")
)

// A worker asks one node after the other.
type worker struct {
	*asking
	count func(bytes int) bool // take
	// Of the node that is being asked:
	taken   int64 // bytes
	refused error // why there were no more, if it was not the node's own budget
}

func newWorker(a *asking) *worker {
	w := &worker{asking: a}
	w.count = w.take
	return w
}

// take counts bytes and tells whether there may be more.
func (w *worker) take(bytes int) bool {
	w.taken += int64(bytes)
	if err := w.question.take(int64(bytes)); err != nil {
		w.refused = err
		return false
	}
	return true
}

// ask asks node i, if there is time and room for it.
func (w *worker) ask(ctx context.Context, i int) {
	now := time.Now()
	given := w.given(ctx, now)
	r := Result{Elapsed: now.Sub(w.began)}
	if ctx.Err() != nil || given < leastTimeout {
		r.Outcome, r.Err = coverage.Timeout, errNoTime
		if w.gone() {
			r.Outcome, r.Err = coverage.Canceled, errGone
		}
	} else if err := w.question.room(); err != nil {
		r.Outcome, r.Err = coverage.OverBudget, err
	} else {
		r = w.one(ctx, i, now, given)
	}
	w.results[i] = r
}

// given is how long a node may take that is asked now: to the end of the node
// timeout that began with the question, or two thirds of one if that is more, and
// not all that the question has left.
func (w *worker) given(ctx context.Context, now time.Time) time.Duration {
	most := w.fanout.nodeTimeout
	given := max(most-now.Sub(w.began), most*2/3)
	if deadline, ok := ctx.Deadline(); ok {
		given = min(given, deadline.Sub(now)*leftPercent/100)
	}
	return given
}

// one asks one node.
func (w *worker) one(ctx context.Context, i int, now time.Time, given time.Duration) Result {
	f := w.fanout
	w.taken, w.refused = 0, nil
	attempt := agents.NewAttempt(ctx, now.Add(given))
	f.inFlight.Add(1)
	err := w.asking.ask(attempt, i, w.count)
	f.inFlight.Add(-1)
	attempt.End()
	r := Result{Outcome: agents.Outcome(err), Err: err, Elapsed: time.Since(now), Asked: true, own: true}
	switch r.Outcome {
	case coverage.OK:
		w.question.kept.Add(w.taken)
		w.question.answered.Add(1)
		return r
	case coverage.Truncated:
		return r // a part may be kept
	case coverage.OverBudget:
		if w.refused != nil {
			r.Err, r.own = w.refused, false
		}
	case coverage.Dead, coverage.NotInRoster:
		r.Asked = false // there was nobody to ask
	case coverage.Timeout, coverage.Canceled:
		r.Outcome = coverage.Timeout
		if w.gone() {
			r.Outcome = coverage.Canceled
		}
		// Half of the usual time is enough to blame the node.
		r.own = r.Outcome == coverage.Timeout && given >= f.nodeTimeout/2
	}
	_ = w.question.take(-w.taken)
	return r
}

// gone tells whether nobody waits for the answer any more.
func (w *worker) gone() bool { return errors.Is(w.caller.Err(), context.Canceled) }
