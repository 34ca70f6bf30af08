package fanout

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// leftPercent is the part of a question's remaining time that a node may
	// have. The rest is for whatever waits for a place, and for the answer.
	leftPercent = 90
	// leastTimeout is what makes asking worth it: in less, even a good node could
	// not answer.
	leastTimeout = 5 * time.Millisecond
	// maxErr bounds the bytes of a missing node's error.
	maxErr = 200
)

var (
	errNoTime     = errors.New("not asked: no time was left")
	errNoBudget   = errors.New("not asked: the answers of other nodes used up the question's budget")
	errOverBudget = errors.New("the answers of all nodes are larger than the question's budget")
	errGone       = errors.New("not asked: whoever wanted to know went away")
)

// asking is one question on its way.
type asking struct {
	fanout  *Fanout
	caller  context.Context // ends when whoever asked goes away
	query   model.Query
	began   time.Time
	places  chan struct{} // holds one token for each node being asked
	bytes   atomic.Int64  // of the answers so far
	results []result      // by index of the node, each written once
}

// result is how one node's answer ended.
type result struct {
	answer  apiv1.NodeAnswer
	outcome coverage.Outcome
	err     error
	elapsed time.Duration
	// asked tells whether the node's agent was tried at all.
	asked bool
	// own tells that the outcome says something about the node, rather than
	// about the question: its budget, its end, its little time.
	own bool
}

// run asks the nodes, as many at a time as there are places, until ctx ends.
func (a *asking) run(ctx context.Context, nodes []string) {
	var asked sync.WaitGroup
	defer asked.Wait()
	for _, i := range a.fanout.history.order(nodes) {
		if o, err := a.place(ctx); err != nil {
			a.results[i] = result{outcome: o, err: err, elapsed: time.Since(a.began)}
			continue
		}
		asked.Go(func() {
			defer func() { <-a.places }()
			a.results[i] = a.one(ctx, nodes[i])
		})
	}
}

// place waits for a place, and tells why the next node cannot be asked, if so.
func (a *asking) place(ctx context.Context) (coverage.Outcome, error) {
	select {
	case a.places <- struct{}{}:
	case <-ctx.Done():
		return a.ended()
	}
	switch {
	case a.bytes.Load() > a.fanout.queryBudget:
		<-a.places
		return coverage.OverBudget, errNoBudget
	case ctx.Err() != nil || timeout(ctx, a.fanout.nodeTimeout) < leastTimeout:
		<-a.places
		return a.ended()
	}
	return coverage.OK, nil
}

// ended is the outcome of nodes for which there was no time.
func (a *asking) ended() (coverage.Outcome, error) {
	if a.gone() {
		return coverage.Canceled, errGone
	}
	return coverage.Timeout, errNoTime
}

// timeout is how long a node may take that is asked now.
func timeout(ctx context.Context, most time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(most, time.Until(deadline)*leftPercent/100)
	}
	return most
}

// gone tells whether nobody waits for the answer any more.
func (a *asking) gone() bool { return errors.Is(a.caller.Err(), context.Canceled) }

// one asks one node.
func (a *asking) one(ctx context.Context, node string) result {
	began, most := time.Now(), a.fanout.nodeTimeout
	given := timeout(ctx, most)
	limited, cancel := context.WithTimeout(ctx, given)
	defer cancel()
	a.fanout.inFlight.Add(1)
	answer, err := a.fanout.asker.Ask(limited, node, a.query, func(n int) bool {
		return a.bytes.Add(int64(n)) <= a.fanout.queryBudget
	})
	a.fanout.inFlight.Add(-1)
	r := result{answer: answer, outcome: agents.Outcome(err), err: err, elapsed: time.Since(began), asked: true, own: true}
	switch r.outcome {
	case coverage.OverBudget:
		if a.bytes.Load() > a.fanout.queryBudget {
			r.err, r.own = errOverBudget, false
		}
	case coverage.Dead, coverage.NotInRoster:
		r.asked = false // there was nobody to ask
	case coverage.Timeout, coverage.Canceled:
		r.outcome = coverage.Timeout
		if a.gone() {
			r.outcome = coverage.Canceled
		}
		// Half of the usual time is enough to blame the node.
		r.own = r.outcome == coverage.Timeout && given >= most/2
	}
	return r
}

// short is an error's text, cut to maxErr bytes.
func short(err error) string {
	text := err.Error()
	if len(text) <= maxErr {
		return text
	}
	const mark = "…"
	return strings.ToValidUTF8(text[:maxErr-len(mark)], "") + mark
}
