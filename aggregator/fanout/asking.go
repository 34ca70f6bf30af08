package fanout

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// leastGrace is how long a question that is otherwise done waits for probes:
	// a handshake with an agent that is well takes 5 ms. Long ones wait for a
	// tenth of the time that they took.
	leastGrace = 25 * time.Millisecond
	gracePart  = 10
)

// asking is one question on its way.
type asking struct {
	question *Question
	fanout   *Fanout
	caller   context.Context // ends when whoever asked goes away
	ask      Ask
	began    time.Time
	nodes    []string
	results  []Result // by index of the node, each written once
	plan     plan
}

// run asks the nodes, as many at a time as there are places, until ctx ends.
func (a *asking) run(ctx context.Context) {
	f := a.fanout
	a.plan = f.history.plan(a.nodes, a.results, a.began)
	probes := make(chan probe, len(a.plan.due))
	for _, i := range a.plan.due {
		f.lane.add(a.nodes[i], func(well bool) { probes <- probe{i, well} })
	}
	// So many workers, and not a goroutine for each node, which would grow its
	// stack anew.
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(f.places, len(a.plan.ask)) {
		workers.Go(func() {
			w := newWorker(a)
			for n := next.Add(1); n <= int64(len(a.plan.ask)); n = next.Add(1) {
				w.ask(ctx, a.plan.ask[n-1])
			}
		})
	}
	if len(a.plan.due) > 0 {
		done := make(chan struct{})
		go func() { workers.Wait(); close(done) }()
		a.probed(ctx, probes, done)
	}
	workers.Wait()
	now := time.Now()
	f.metrics.add(a.results, f.history.add(a.plan, a.nodes, a.results, now), now.Sub(a.began))
}

// probe is how the probe of node i ended.
type probe struct {
	i    int
	well bool
}

// probed asks nodes whose probes end well before the question is done, or
// little later. If there is nobody else to ask, it waits as for any node.
func (a *asking) probed(ctx context.Context, probes <-chan probe, done <-chan struct{}) {
	again := make(chan int, len(a.plan.due))
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(again)
	var late <-chan time.Time
	for pending, started := len(a.plan.due), 0; pending > 0; {
		select {
		case p := <-probes:
			pending--
			if !p.well {
				continue
			}
			again <- p.i
			if started < laneWidth {
				started++
				workers.Go(func() {
					w := newWorker(a)
					for i := range again {
						w.ask(ctx, i)
					}
				})
			}
		case <-done:
			grace := max(leastGrace, time.Since(a.began)/gracePart)
			if len(a.plan.ask) == 0 {
				grace = a.fanout.nodeTimeout + leastGrace
			}
			late, done = time.After(grace), nil
		case <-late:
			return
		case <-ctx.Done():
			return
		}
	}
}
