package agents

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// openEvery is how often maxOpening connections are opened ahead of questions:
	// 200 a second are a fifth of a core here, and 5000 take 25 s. One by one, each
	// 5 ms, they took two thirds more CPU: the process fell asleep in between, and
	// Go's scheduler woke it up again for all that came.
	openEvery = 80 * time.Millisecond
	// maxOpening is how many are being opened at a time: agents that answer take
	// 5 ms, and those that do not hold up no more than this.
	maxOpening = 16
	// openTimeout bounds one of them.
	openTimeout = 2 * time.Second
	// sweepEvery is how often useless connections are looked for: longer than
	// any question, so that one which is not in the roster twice is idle.
	sweepEvery = 2 * time.Minute
	// openingAtMost is how long [Client.Connected] waits at a start, where many
	// agents cannot be reached: 5000 that can take 25 s.
	openingAtMost = time.Minute
	// refreshAfter is how long a connection may be unused before it is used for a
	// probe, so that neither side closes it: less than DefaultIdleTimeout.
	refreshAfter = 45 * time.Minute
	// spareIdle is how long a second connection to an agent is kept without use.
	spareIdle = 5 * time.Minute
)

// A Watch tells which agents are here, and when to look again: the channel is
// closed when there may be others.
type Watch func() (here []roster.Member, changed <-chan struct{})

// KeepConnected opens a connection to every agent that comes into the roster,
// at a bounded rate, so that questions find them open, and closes those to
// agents that are gone. It returns when ctx ends. Agents that it cannot reach
// are for the questions to find out.
func (c *Client) KeepConnected(ctx context.Context, watch Watch) {
	var opening sync.WaitGroup
	defer opening.Wait()
	places := make(chan struct{}, maxOpening)
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	var k keeper
	changed := k.look(watch)
	for {
		c.opened.note(len(k.known), len(k.queue))
		var tick <-chan time.Time
		if len(k.queue) > 0 {
			tick = time.After(openEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			changed = k.look(watch)
		case <-sweep.C:
			c.dialer.sweep(c.here, time.Now().Add(-spareIdle))
			k.refresh(c.dialer.unused(time.Now().Add(-refreshAfter)))
		case <-tick:
			for free := maxOpening - len(places); free > 0; free-- {
				to, ok := k.next(c)
				if !ok {
					break
				}
				places <- struct{}{}
				opening.Go(func() {
					defer func() { <-places }()
					limited, cancel := context.WithTimeout(ctx, openTimeout)
					defer cancel()
					_ = c.Probe(limited, to.Node) // the dialer counts and logs
				})
			}
		}
	}
}

// opened is how far opening connections at the start has come.
type opened struct {
	known, left atomic.Int64
	done        atomic.Bool
	began       time.Time // KeepConnected's; zero: no agent was known yet
}

// note is called by KeepConnected alone.
func (o *opened) note(known, left int) {
	o.known.Store(int64(known))
	o.left.Store(int64(left))
	if known > 0 && o.began.IsZero() {
		o.began = time.Now()
	}
	if known > 0 && (left == 0 || time.Since(o.began) > openingAtMost) {
		o.done.Store(true)
	}
}

// Connected tells why questions to all agents would still take long: since the
// start, connections to all that are known are being opened. It does so for a
// minute at most, and once that is over never again; nor before any is known.
func (c *Client) Connected() error {
	if known := c.opened.known.Load(); known > 0 && !c.opened.done.Load() {
		return fmt.Errorf("connections to %d of %d agents are still to be opened", c.opened.left.Load(), known)
	}
	return nil
}

// here tells whether the target is where the roster has that node.
func (c *Client) here(to Target) bool { return c.Incarnation(to.Node).At == to.At }

// keeper knows which agents are new.
type keeper struct {
	known map[string]agent
	queue []opening
}

// opening is an agent that a connection is to be opened to: also if there is
// one, if again.
type opening struct {
	agent
	again bool
}

// look puts agents in the queue that are new, or not the same as before.
func (k *keeper) look(watch Watch) <-chan struct{} {
	here, changed := watch()
	known := make(map[string]agent, len(here))
	for _, m := range here {
		a := agentOf(m)
		if was := k.known[m.Name]; was != a {
			// Connections to where it was before, in the same place, are dead.
			k.queue = append(k.queue, opening{a, was.Target == a.Target})
		}
		known[m.Name] = a
	}
	k.known = known
	return changed
}

// refresh puts agents in the queue whose connections were not used for long.
func (k *keeper) refresh(unused []Target) {
	for _, to := range unused {
		if a := k.known[to.Node]; a.Target == to {
			k.queue = append(k.queue, opening{a, true})
		}
	}
}

// next is the next agent to connect to. Those that have gone or moved again, or
// that a question has connected to, are left out.
func (k *keeper) next(c *Client) (agent, bool) {
	for len(k.queue) > 0 {
		a := k.queue[0]
		k.queue = k.queue[1:]
		if k.known[a.Node] == a.agent && (a.again || !c.dialer.connected(a.Target)) {
			return a.agent, true
		}
	}
	return agent{}, false
}
