package agents

import (
	"context"
	"sync"
	"time"
)

// An Attempt is a [context.Context] with a deadline, for asking one node of
// thousands. A context.WithDeadline has a timer, a channel and an entry in its
// parent, half of all the memory that a question to one node takes. An Attempt
// makes them only if someone waits for it: [Direct] gives the deadline to the
// connection, and waits for the parent.
type Attempt struct {
	parent   context.Context
	deadline time.Time

	mu    sync.Mutex
	made  context.Context // what others wait for; nil: nobody does
	stop  context.CancelFunc
	ended bool
}

// NewAttempt begins an attempt. End has to be called.
func NewAttempt(parent context.Context, deadline time.Time) *Attempt {
	if earlier, ok := parent.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	return &Attempt{parent: parent, deadline: deadline}
}

// End ends it, as a context's cancel function does.
func (a *Attempt) End() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.stop != nil {
		a.stop()
	}
}

// Deadline implements [context.Context].
func (a *Attempt) Deadline() (time.Time, bool) { return a.deadline, true }

// Done implements [context.Context].
func (a *Attempt) Done() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made == nil {
		a.made, a.stop = context.WithDeadline(a.parent, a.deadline)
		if a.ended {
			a.stop()
		}
	}
	return a.made.Done()
}

// Err implements [context.Context].
func (a *Attempt) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made != nil {
		return a.made.Err()
	}
	if err := a.parent.Err(); err != nil {
		return err
	}
	switch {
	case a.ended:
		return context.Canceled
	case !time.Now().Before(a.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements [context.Context].
func (a *Attempt) Value(key any) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made != nil { // by which package context finds it
		return a.made.Value(key)
	}
	return a.parent.Value(key)
}
