package gossip

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Restart ends members together, as SIGTERM does or, where killed says so, as a
// crash, and starts each again at a new address when it has been down for that
// long. It returns when all are up, or ctx has ended.
func (f *Fleet) Restart(ctx context.Context, members []*Member, killed func(i int) bool, down time.Duration) error {
	errs := make([]error, len(members))
	var work sync.WaitGroup
	for i, m := range members {
		work.Go(func() {
			var end error
			if killed != nil && killed(i) {
				end = m.Kill()
			} else {
				end = m.Leave(ctx)
			}
			select {
			case <-time.After(down):
				errs[i] = errors.Join(end, m.Start())
			case <-ctx.Done():
				errs[i] = errors.Join(end, ctx.Err())
			}
		})
	}
	work.Wait()
	return errors.Join(errs...)
}
