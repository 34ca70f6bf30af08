package fanout

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
)

const (
	// fewNodes is how many nodes a question asks that never waits for others: a
	// pod by name, or a dashboard's page of nodes.
	fewNodes = 64
	// maxFull is how many questions to all nodes are on their way at once. One
	// keeps two cores busy, so more are not done sooner; some are needed for the
	// time in which one waits for its last nodes.
	maxFull = 4
)

// admission lets in questions to many nodes, in the order in which they come,
// as long as all together have no more than so many places.
type admission struct {
	places  *semaphore.Weighted
	inside  atomic.Int64 // questions
	waiting atomic.Int64
}

func newAdmission(places int64) *admission {
	return &admission{places: semaphore.NewWeighted(maxFull * places)}
}

// enter waits for a question's turn, but not longer than most.
func (a *admission) enter(ctx context.Context, weight int64, most time.Duration) error {
	if !a.places.TryAcquire(weight) {
		limited, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		a.waiting.Add(1)
		err := a.places.Acquire(limited, weight)
		waiting := a.waiting.Add(-1)
		switch {
		case ctx.Err() != nil && err != nil:
			return fmt.Errorf("wait for other questions: %w", ctx.Err())
		case err != nil:
			return apiv1.Errorf(apiv1.TooManyRequests, "%d questions to many nodes are being answered and %d more wait; this one waited for %v: ask again later, or for one node or pod", a.inside.Load(), waiting, most)
		}
	}
	a.inside.Add(1)
	return nil
}

func (a *admission) leave(weight int64) {
	a.inside.Add(-1)
	a.places.Release(weight)
}
