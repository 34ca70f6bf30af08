package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/app"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/member"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// An aggregator is one real aggregator on a host of its own; its API listens
// on the machine's address.
type aggregator struct {
	name string
	addr netip.Addr
	cfg  app.Config
	log  *slog.Logger

	mu      sync.Mutex
	state   string // running, killed or stopped
	stopRun context.CancelCauseFunc
	done    chan struct{}
	ended   error
}

func (f *Fleet) newAggregator(i int) (*aggregator, error) {
	name := fmt.Sprintf("aggregator-%d", i+1)
	addr := f.cfg.host(1, i)
	files, err := f.authority.Issue(identity.Peer{Role: identity.Aggregator, Name: name})
	if err != nil {
		return nil, err
	}
	host := f.network.Host(addr)
	return &aggregator{
		name: name, addr: addr, log: f.log.With("aggregator", name), state: "stopped",
		cfg: app.Config{
			Name: name, Resolution: f.cfg.Resolution, Timeout: 5 * time.Second, ExpectedFile: f.expectedFile,
			Listen:      netip.AddrPortFrom(f.cfg.Listen.Addr(), f.cfg.Listen.Port()+uint16(i)).String(),
			DebugListen: at(addr, 9811), MetricsListen: at(addr, 9812),
			Identity: files,
			Roster: roster.Config{
				Bind: addr, Port: gossipPort, Join: f.seeds(), Label: f.label, KeyFile: f.keyFile,
				Timing: roster.LocalTiming(), Wrap: host.Gossip,
			},
			Agents: agents.Config{Dial: host.DialContext, NodeBudget: agents.DefaultNodeBudget},
			Fanout: fanout.Config{InFlight: 256, NodeTimeout: 1500 * time.Millisecond, QueryBudget: fanout.DefaultQueryBudget},
		},
	}, nil
}

// url is where its API is.
func (a *aggregator) url() string { return "http://" + a.cfg.Listen }

func (a *aggregator) start(ctx context.Context, f *Fleet) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state == "running" {
		return fmt.Errorf("%s is running", a.name)
	}
	running, err := app.New(ctx, a.cfg, f.version, a.log)
	if err != nil {
		return err
	}
	run, stop := context.WithCancelCause(ctx)
	a.stopRun, a.done, a.state = stop, make(chan struct{}), "running"
	go func() {
		defer close(a.done)
		a.ended = running.Run(run)
	}()
	return nil
}

// stop ends the aggregator and waits for it: gracefully, or as a crash would.
func (a *aggregator) stop(kill bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != "running" {
		return nil
	}
	a.state = "stopped"
	var cause error
	if kill {
		a.state, cause = "killed", member.ErrCrash
	}
	a.stopRun(cause)
	<-a.done
	if a.ended != nil {
		return fmt.Errorf("%s: %w", a.name, a.ended)
	}
	return nil
}

// act does what the admin API asks for.
func (a *aggregator) act(ctx context.Context, f *Fleet, action string) error {
	switch action {
	case "kill":
		return a.stop(true)
	case "stop":
		return a.stop(false)
	case "start":
		return a.start(ctx, f)
	}
	return fmt.Errorf("action %q is none of kill, stop, start", action)
}
