package gossip

import (
	"context"
	"fmt"
	"time"
)

// Seen is what a [Fleet.Watch] saw.
type Seen struct {
	// Lowest share of the agents that were up that an aggregator found, 0 to 1.
	Lowest float64
	// Below is the longest time on end in which an aggregator found less than the
	// share it should.
	Below time.Duration
	// Looks is how often it looked.
	Looks int
}

func (s Seen) String() string {
	return fmt.Sprintf("lowest share %.3f, too low for at most %v, in %d looks", s.Lowest, s.Below.Round(10*time.Millisecond), s.Looks)
}

// Watch looks at the aggregators at each interval, until ctx ends: how many of
// the agents that are up each finds. An agent that is down, or going, does not
// count; one that has just started does.
func (f *Fleet) Watch(ctx context.Context, every time.Duration, share float64) Seen {
	seen := Seen{Lowest: 1}
	began := make([]time.Time, len(f.aggregators)) // of being below; zero when not
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		now := time.Now()
		seen.Looks++
		for i, a := range f.aggregators {
			r, _ := a.now()
			found, up := a.Finds(f.agents)
			if r == nil || up == 0 {
				began[i] = time.Time{}
				continue
			}
			is := float64(found) / float64(up)
			seen.Lowest = min(seen.Lowest, is)
			if is < share && began[i].IsZero() {
				began[i] = now
			}
			if !began[i].IsZero() {
				// Up to this look, even if it has recovered in between.
				seen.Below = max(seen.Below, now.Sub(began[i]))
			}
			if is >= share {
				began[i] = time.Time{}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return seen
		}
	}
}
