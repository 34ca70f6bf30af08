// Package app wires and runs the aggregator. Nothing else constructs its parts.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/api"
	"github.com/rollcall-metrics/rollcall/aggregator/expected"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/member"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// apiWrite bounds an answer, the slowest reader included: while it is read, its
// coded chunks are held.
const apiWrite = 2 * time.Minute

// An Aggregator is ready to run.
type Aggregator struct {
	cfg    Config
	log    *slog.Logger
	reg    *prometheus.Registry
	id     *identity.Source
	file   *expected.File // nil: the roster says who is expected
	agents *agents.Client
	fanout *fanout.Fanout
	newest *snapshot.Snapshot
	roster atomic.Pointer[roster.Roster] // nil until Run

	listeners []net.Listener // api, debug, metrics
}

// New opens the aggregator's files and listeners. It fails on what a person
// has to mend: certificates, addresses, the list of nodes. The caller calls
// Run, or Close.
func New(ctx context.Context, cfg Config, version string, log *slog.Logger) (*Aggregator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.complete(version)
	a := &Aggregator{cfg: cfg, log: log, reg: obs.NewRegistry("aggregator", version)}
	var err error
	if a.id, err = identity.Load(cfg.Identity, log, a.reg); err != nil {
		return nil, err
	}
	if self := a.id.Self(); self.Role != identity.Aggregator {
		return nil, fmt.Errorf("--tls-cert-file %s is the certificate of %v, no agent answers that; it needs the URI SAN rollcall://aggregator/NAME", cfg.Identity.Cert, self)
	}
	if cfg.ExpectedFile != "" {
		if a.file, err = expected.OpenFile(cfg.ExpectedFile, log); err != nil {
			return nil, fmt.Errorf("--expected-nodes-file: %w", err)
		}
		a.cfg.Roster.Missing = a.missing
	}
	a.listeners, err = member.Listen(ctx, nil,
		member.Address{Flag: "--listen", Addr: cfg.Listen},
		member.Address{Flag: "--debug-listen", Addr: cfg.DebugListen},
		member.Address{Flag: "--metrics-listen", Addr: cfg.MetricsListen})
	if err != nil {
		return nil, err
	}
	a.agents = agents.New(cfg.Agents, agents.RosterFunc(a.lookup), a.id, log, a.reg)
	a.fanout = fanout.New(cfg.Fanout, a.agents, a.reg)
	a.newest = snapshot.New(cfg.Resolution, a.agents, a.fanout, a.expected(), a.reg)
	return a, nil
}

// Close ends an aggregator that was not run.
func (a *Aggregator) Close() error {
	a.newest.Close()
	a.fanout.Close()
	a.agents.Close()
	return member.Close(a.listeners)
}

// snapshot is the roster; before Run there is none, and nobody asks.
func (a *Aggregator) snapshot() *roster.Snapshot { return a.roster.Load().Snapshot() }

func (a *Aggregator) lookup(role identity.Role, name string) (roster.Member, roster.State) {
	return a.snapshot().Lookup(role, name)
}

// missing are the addresses of expected nodes that the roster does not have.
// The roster asks for them from its own start on.
func (a *Aggregator) missing() []string {
	r := a.roster.Load()
	if r == nil {
		return nil
	}
	return a.file.Missing(r.Snapshot())
}

// expected is who should answer.
func (a *Aggregator) expected() api.Expected {
	if a.file != nil {
		return a.file
	}
	return expected.FromRoster(a.snapshot)
}

// Run serves until ctx ends, then leaves the roster and lets answers in
// flight finish. Its error is what ended it early, or what went wrong at the
// end.
func (a *Aggregator) Run(ctx context.Context) error {
	r, err := roster.Start(ctx, a.cfg.Roster, a.log, a.reg)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	a.roster.Store(r)
	a.log.Info("aggregator started", "name", a.cfg.Name)
	connecting, stop := context.WithCancel(ctx)
	var connected sync.WaitGroup
	connected.Go(func() {
		a.agents.KeepConnected(connecting, func() ([]roster.Member, <-chan struct{}) {
			changed := r.Changed() // first, to miss nothing
			return r.Snapshot().ByRole(identity.Agent), changed
		})
	})
	err = member.Run(ctx, r, a.log,
		obs.Server{Name: "api", Listener: a.listeners[0], Handler: a.apiHandler(r), WriteTimeout: apiWrite},
		obs.Server{Name: "debug", Listener: a.listeners[1], Handler: a.debugHandler()},
		obs.Server{Name: "metrics", Listener: a.listeners[2], Handler: obs.MetricsHandler(a.reg, a.log)})
	stop()
	connected.Wait()
	a.newest.Close()
	a.fanout.Close()
	a.agents.Close()
	a.log.Info("aggregator stopped", "name", a.cfg.Name)
	return err
}

// apiHandler serves users: /api/v1, and the probes. Health is 200 while the
// process lives; ready is an aggregator that knows a fleet.
func (a *Aggregator) apiHandler(r *roster.Roster) http.Handler {
	var ready obs.Probes
	ready.Add("roster", func() error {
		if len(r.Snapshot().ByRole(identity.Agent)) == 0 && len(a.expected().Nodes()) > 0 {
			return errors.New("no agent is in the roster yet")
		}
		if !r.Joined() {
			return errors.New("no other member was reached yet; see --join")
		}
		return nil
	})
	ready.Add("connections", a.agents.Connected)
	mux := http.NewServeMux()
	mux.Handle("/", apiv1.New(apiv1.Config{
		Resolution: a.cfg.Resolution, Namespaces: a.cfg.Namespaces, Timeout: a.cfg.Timeout,
	}, &api.Fleet{
		Expected: a.expected(), Joined: r.Joined, Fanout: a.fanout, Agents: a.agents, Snapshot: a.newest,
	}))
	mux.Handle("GET /healthz", obs.Alive())
	mux.Handle("GET /readyz", ready.Ready())
	return mux
}

func (a *Aggregator) debugHandler() http.Handler {
	return api.Debug(api.Pages{
		Expected: a.expected(),
		Roster:   a.snapshot,
		Fanout:   func() any { return a.fanout.Status() },
		Snapshot: func() any { return a.newest.Status() },
		Config:   cli.Settings(a.cfg.flags),
		Node:     a.agents.Debug,
	})
}
