package fanout

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

const (
	// firstBackoff is how long a node that failed is left alone at first: one
	// question of a person who asks again, but never a whole slot.
	firstBackoff = 2 * time.Second
	// maxBackoff bounds it: that long a node that is well again may be missing.
	maxBackoff = 30 * time.Second
)

// A breaker keeps questions from a node that failed. It is closed as long as
// the node answers, and opens at its first failure, for a time that doubles
// with each. Then a probe has to succeed, and it is half open: the next
// question's answer closes it, or opens it for longer.
type breaker struct {
	backoff time.Duration      // 0 is closed
	until   time.Time          // open so long
	proven  bool               // half open
	who     agents.Incarnation // failed
}

// fail opens the breaker because of a failure of who. Failures
// while it is open are of questions that were on their way before, or of a
// person who insists: they do not prolong it.
func (b *breaker) fail(who agents.Incarnation, now time.Time) {
	b.who = who
	if now.Before(b.until) {
		return
	}
	b.backoff = min(max(2*b.backoff, firstBackoff), maxBackoff)
	// Half of it is at random, so that nodes that failed together are not all
	// probed together.
	b.until = now.Add(b.backoff/2 + rand.N(b.backoff/2+1))
	b.proven = false
}

// prove makes the breaker half open, if it is not closed by now.
func (b *breaker) prove() { b.proven = b.backoff > 0 }

// close closes the breaker.
func (b *breaker) close() { *b = breaker{} }

// A breakerState is where a breaker stands.
type breakerState string

const (
	closed   breakerState = "closed"
	open     breakerState = "open"
	due      breakerState = "probe due" // open for long enough
	halfOpen breakerState = "half open"
)

func (b *breaker) state(now time.Time) breakerState {
	switch {
	case b.backoff == 0:
		return closed
	case b.proven:
		return halfOpen
	case now.Before(b.until):
		return open
	}
	return due
}

// judge tells what an outcome says about a node's agent: that it answers, that
// it does not, or nothing.
func judge(o coverage.Outcome, err error) (answers, fails bool) {
	if e, ok := errors.AsType[*agents.Error](err); ok && e.Part {
		return true, false // it does what it can
	}
	switch o {
	case coverage.OK, coverage.OverBudget:
		return true, false
	case coverage.Timeout, coverage.Refused, coverage.Unauthorized, coverage.VersionSkew, coverage.Truncated:
		return false, true
	}
	return false, false // Dead and NotInRoster are the roster's, Canceled is the caller's
}

// A notAskedError is why a node was not asked whose breaker is open.
type notAskedError struct {
	failures int
	last     string
	ago, in  time.Duration
}

func (e *notAskedError) Error() string {
	again := "is being probed"
	if e.in > 0 {
		again = fmt.Sprintf("asked again in %v", e.in.Round(time.Second/10))
	}
	return fmt.Sprintf("not asked, %s: %d failures in a row, the last %v ago: %s", again, e.failures, e.ago.Round(time.Second/10), e.last)
}
