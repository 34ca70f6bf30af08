package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rollcall-metrics/rollcall/pkg/member"
)

// The states of a process.
const (
	stateNew     = "new"
	stateRunning = "running"
	statePaused  = "paused"
	stateStopped = "stopped"
	stateKilled  = "killed"
	stateEnded   = "ended" // by itself, which it should not
)

// A process is an agent or an aggregator as the fleet sees it: something that
// is started and stopped.
type process struct {
	name string

	orders  sync.Mutex   // held while one is carried out
	state   atomic.Value // a string; readable while an order is carried out
	stopRun context.CancelCauseFunc
	done    chan struct{} // closed when it has ended
	ended   error         // valid once done is closed
}

func (p *process) is(states ...string) bool {
	for _, s := range states {
		if p.now() == s {
			return true
		}
	}
	return false
}

// now is the process's state.
func (p *process) now() string {
	if s, ok := p.state.Load().(string); ok {
		return s
	}
	return stateNew
}

// run runs the work until stop. The caller holds p.orders.
func (p *process) run(ctx context.Context, work func(context.Context) error) {
	ctx, stop := context.WithCancelCause(ctx)
	p.stopRun, p.done = stop, make(chan struct{})
	p.state.Store(stateRunning)
	go func() {
		defer close(p.done)
		p.ended = work(ctx)
		p.state.CompareAndSwap(stateRunning, stateEnded)
	}()
}

// stop ends the work and waits for it: gracefully, or as a crash would. The
// caller holds p.orders.
func (p *process) stop(kill bool) error {
	if !p.is(stateRunning, statePaused, stateEnded) {
		return nil
	}
	var cause error
	p.state.Store(stateStopped)
	if kill {
		cause = member.ErrCrash
		p.state.Store(stateKilled)
	}
	p.stopRun(cause)
	<-p.done
	if p.ended != nil {
		return fmt.Errorf("%s: %w", p.name, p.ended)
	}
	return nil
}
