package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/app"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// An aggregator is one real aggregator on a host of its own; its API listens
// on the machine's address.
type aggregator struct {
	process
	addr netip.Addr
	cfg  app.Config
	log  *slog.Logger
	// begin makes an aggregator, which runs until a context ends.
	begin func(context.Context) (run func(context.Context) error, err error)
}

func (f *Fleet) newAggregator(i int) (*aggregator, error) {
	name := fmt.Sprintf("aggregator-%d", i+1)
	addr := f.cfg.host(1, i)
	files, err := f.authority.Issue(identity.Peer{Role: identity.Aggregator, Name: name})
	if err != nil {
		return nil, err
	}
	host := f.network.Host(addr)
	a := &aggregator{
		process: process{name: name}, addr: addr, log: f.log.With("aggregator", name),
		cfg: app.Config{
			Name: name, Resolution: f.cfg.Resolution, Timeout: 5 * time.Second, ExpectedFile: f.expectedFile,
			Listen:      netip.AddrPortFrom(f.cfg.Listen.Addr(), f.cfg.Listen.Port()+uint16(i)).String(),
			DebugListen: at(addr, 9811), MetricsListen: at(addr, 9812),
			Identity: files,
			Roster: roster.Config{
				Bind: addr, Port: gossipPort, Join: f.seeds(), Label: f.label, KeyFile: f.keyFile,
				Timing: f.timing(), Wrap: host.Gossip,
			},
			Agents: agents.Config{Dial: host.DialContext, NodeBudget: agents.DefaultNodeBudget},
			Fanout: fanout.Config{InFlight: 256, NodeTimeout: 1500 * time.Millisecond, QueryBudget: fanout.DefaultQueryBudget},
		},
	}
	a.begin = func(ctx context.Context) (func(context.Context) error, error) {
		made, err := app.New(ctx, a.cfg, f.version, a.log)
		if err != nil {
			return nil, err
		}
		return made.Run, nil
	}
	if f.virtual != nil {
		// Nobody can cut these links, and thousands of connections should cost
		// what they cost elsewhere.
		a.cfg.Roster.Wrap, a.cfg.Agents.Dial = nil, nil
	}
	return a, nil
}

// arguments are the flags of such an aggregator as a process of its own, without
// those that have the value that they have anyway.
func (a *aggregator) arguments() []string {
	c := &a.cfg
	return []string{
		"--name", c.Name, "--metric-resolution", c.Resolution.String(),
		"--listen", c.Listen, "--debug-listen", c.DebugListen, "--metrics-listen", c.MetricsListen,
		"--gossip-bind", c.Roster.Bind.String(), "--join", strings.Join(c.Roster.Join, ","),
		"--cluster-label", c.Roster.Label, "--gossip-key-file", c.Roster.KeyFile,
		"--tls-cert-file", c.Identity.Cert, "--tls-key-file", c.Identity.Key, "--tls-ca-file", c.Identity.CA,
		"--expected-nodes-file", c.ExpectedFile,
	}
}

// url is where its API is.
func (a *aggregator) url() string { return "http://" + a.cfg.Listen }

func (a *aggregator) start(ctx context.Context) error {
	a.orders.Lock()
	defer a.orders.Unlock()
	if a.is(stateRunning) {
		return fmt.Errorf("%s is %s", a.name, a.now())
	}
	run, err := a.begin(ctx)
	if err != nil {
		return err
	}
	a.run(ctx, run)
	return nil
}

// stop ends the aggregator and waits for it: gracefully, or as a crash would.
func (a *aggregator) stop(kill bool) error {
	a.orders.Lock()
	defer a.orders.Unlock()
	return a.process.stop(kill)
}

// act does what the admin API asks for.
func (a *aggregator) act(ctx context.Context, action string) error {
	switch action {
	case "kill":
		return a.stop(true)
	case "stop":
		return a.stop(false)
	case "start":
		return a.start(ctx)
	}
	return fmt.Errorf("action %q is none of kill, stop, start", action)
}
