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
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// leaveTimeout bounds saying goodbye: the announcement takes 2 s to reach
// everyone, and the pod has 30 s in all.
const leaveTimeout = 10 * time.Second

// An Aggregator is ready to run.
type Aggregator struct {
	cfg    Config
	log    *slog.Logger
	reg    *prometheus.Registry
	id     *identity.Source
	file   *expected.File // nil: the roster says who is expected
	agents *agents.Client
	fanout *fanout.Fanout
	roster atomic.Pointer[roster.Roster] // nil until Run

	api, debug, metrics net.Listener

	killed atomic.Bool
	cancel atomic.Pointer[context.CancelFunc]
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
	if err := a.listen(ctx); err != nil {
		return nil, err
	}
	a.agents = agents.New(cfg.Agents, agents.RosterFunc(a.lookup), a.id, log, a.reg)
	a.fanout = fanout.New(cfg.Fanout, a.agents, a.reg)
	return a, nil
}

func (a *Aggregator) listen(ctx context.Context) error {
	for _, l := range []struct {
		to         *net.Listener
		flag, addr string
	}{
		{&a.api, "--listen", a.cfg.Listen},
		{&a.debug, "--debug-listen", a.cfg.DebugListen},
		{&a.metrics, "--metrics-listen", a.cfg.MetricsListen},
	} {
		opened, err := obs.Listen(ctx, l.flag, l.addr)
		if err != nil {
			return errors.Join(err, a.closeListeners())
		}
		*l.to = opened
	}
	return nil
}

func (a *Aggregator) closeListeners() error {
	var errs []error
	for _, l := range []net.Listener{a.api, a.debug, a.metrics} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// Close ends an aggregator that was not run.
func (a *Aggregator) Close() error {
	a.agents.Close()
	return a.closeListeners()
}

// Kill ends Run as a crash would: without leaving the roster.
func (a *Aggregator) Kill() {
	a.killed.Store(true)
	if cancel := a.cancel.Load(); cancel != nil {
		(*cancel)()
	}
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.cancel.Store(&cancel)

	r, err := roster.Start(ctx, a.cfg.Roster, a.log, a.reg)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	a.roster.Store(r)
	a.log.Info("aggregator started", "name", a.cfg.Name)

	servers := []obs.Server{
		{Name: "api", Listener: a.api, Handler: a.apiHandler(r)},
		{Name: "debug", Listener: a.debug, Handler: a.debugHandler()},
		{Name: "metrics", Listener: a.metrics, Handler: obs.MetricsHandler(a.reg, a.log)},
	}
	var work sync.WaitGroup
	failed := make(chan error, len(servers))
	for _, s := range servers {
		work.Go(func() {
			if err := obs.Serve(ctx, a.log, s); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	<-ctx.Done()
	errs := []error{a.leave(r)}
	work.Wait()
	close(failed)
	for err := range failed {
		errs = append(errs, err)
	}
	a.agents.Close()
	a.log.Info("aggregator stopped", "name", a.cfg.Name)
	return errors.Join(errs...)
}

func (a *Aggregator) leave(r *roster.Roster) error {
	if a.killed.Load() {
		return r.Kill()
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	return r.Close(ctx)
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
	mux := http.NewServeMux()
	mux.Handle("/", apiv1.New(apiv1.Config{
		Resolution: a.cfg.Resolution, Namespaces: a.cfg.Namespaces, Timeout: a.cfg.Timeout,
	}, api.Fleet(a.expected(), r.Joined, a.fanout)))
	mux.Handle("GET /healthz", obs.Alive())
	mux.Handle("GET /readyz", ready.Ready())
	return mux
}

func (a *Aggregator) debugHandler() http.Handler {
	return api.Debug(api.Pages{
		Expected: a.expected(),
		Roster:   a.snapshot,
		Fanout:   func() any { return a.fanout.Status() },
		Config:   cli.Settings(a.cfg.flags),
		Node:     a.agents.Debug,
	})
}
