// Package app wires and runs the aggregator. Nothing else constructs its parts.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/api"
	"github.com/rollcall-metrics/rollcall/aggregator/authority"
	"github.com/rollcall-metrics/rollcall/aggregator/dashboard"
	"github.com/rollcall-metrics/rollcall/aggregator/expected"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/aggregator/follow"
	"github.com/rollcall-metrics/rollcall/aggregator/resource"
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

// patience is how long an aggregator that has entered the roster waits for others,
// and for agents to be in it, before it says that it is ready: joining takes a second
// or two, and agents find aggregators that were all killed within three.
const patience = 5 * time.Second

// enrolWrite bounds signing a certificate, the API server's part included.
const enrolWrite = 15 * time.Second

// An Aggregator is ready to run.
type Aggregator struct {
	cfg    Config
	log    *slog.Logger
	reg    *prometheus.Registry
	id     *identity.Source
	kube   *cluster          // nil: not needed
	keeper *authority.Keeper // nil: certificates are from files
	file   *expected.File    // who is expected, if not nil;
	nodes  *expected.Cluster // or else this, if not nil; or else the roster says
	agents *agents.Client
	fanout *fanout.Fanout
	newest *snapshot.Snapshot
	board  *dashboard.Handler
	api    *metricsAPI                   // nil: not served
	roster atomic.Pointer[roster.Roster] // nil until Run
	since  atomic.Int64                  // when it was entered, in Unix nanoseconds

	listeners []net.Listener // api, debug, metrics, and those of enrolment and metrics.k8s.io if they are served
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
	if err := a.identify(version); err != nil {
		return nil, err
	}
	if cfg.ExpectedFile != "" {
		var err error
		if a.file, err = expected.OpenFile(cfg.ExpectedFile, log); err != nil {
			return nil, fmt.Errorf("--expected-nodes-file: %w", err)
		}
	}
	var audit *resource.Audit // of metrics.k8s.io
	if cfg.AuditPolicy != "" {
		var err error
		if audit, err = resource.LoadAudit(cfg.AuditPolicy, os.Stdout); err != nil {
			return nil, fmt.Errorf("--audit-policy-file: %w", err)
		}
	}
	a.cfg.Roster.Missing = a.missing
	following := follow.NewMetrics(a.reg)
	if cfg.Expected == fromKubernetes {
		a.nodes = expected.NewCluster(expected.ClusterConfig{
			Nodes: a.kube.CoreV1().Nodes(), DaemonSets: a.kube.AppsV1().DaemonSets(cfg.Namespace),
			Namespace: cfg.Namespace, DaemonSet: cfg.AgentDaemonSet,
		}, expected.FromRoster(a.snapshot), following, log, a.reg)
	}
	addresses := []member.Address{
		{Flag: "--listen", Addr: cfg.Listen},
		{Flag: "--debug-listen", Addr: cfg.DebugListen},
		{Flag: "--metrics-listen", Addr: cfg.MetricsListen},
	}
	if a.keeper != nil {
		addresses = append(addresses, member.Address{Flag: "--enrol-listen", Addr: cfg.EnrolListen})
	}
	if cfg.ResourceMetrics {
		addresses = append(addresses, member.Address{Flag: "--resource-listen", Addr: cfg.ResourceListen})
	}
	var err error
	if a.listeners, err = member.Listen(ctx, nil, addresses...); err != nil {
		return nil, err
	}
	a.agents = agents.New(cfg.Agents, agents.RosterFunc(a.lookup), a.id, log, a.reg)
	a.fanout = fanout.New(cfg.Fanout, a.agents, a.reg)
	a.newest = snapshot.New(cfg.Resolution, a.agents, a.fanout, a.expected(), a.reg)
	a.board = dashboard.New(dashboard.Config{
		Resolution: cfg.Resolution, Window: cfg.DashboardWindow, Namespaces: cfg.Namespaces,
	}, a.newest, a.fanout, a.agents, a.reg)
	if cfg.ResourceMetrics {
		a.api = a.newMetricsAPI(a.listeners[len(a.listeners)-1], audit, following, version)
	}
	return a, nil
}

// Close ends an aggregator that was not run.
func (a *Aggregator) Close() error {
	a.board.Close()
	a.newest.Close()
	a.fanout.Close()
	a.agents.Close()
	return member.Close(a.listeners)
}

// snapshot is the roster; empty before this aggregator has entered it.
func (a *Aggregator) snapshot() *roster.Snapshot {
	if r := a.roster.Load(); r != nil {
		return r.Snapshot()
	}
	return &roster.Snapshot{}
}

// joined tells whether the roster is more than this process.
func (a *Aggregator) joined() bool {
	r := a.roster.Load()
	return r != nil && r.Joined()
}

func (a *Aggregator) lookup(role identity.Role, name string) (roster.Member, roster.State) {
	return a.snapshot().Lookup(role, name)
}

// missing are the addresses of expected nodes whose agents are not here: where the
// file says they are, or else where they were. After a partition, in which each
// side has declared the other one dead, neither would look for the other for
// minutes. The roster asks from its own start on.
func (a *Aggregator) missing() []string {
	if a.roster.Load() == nil {
		return nil
	}
	if a.file != nil {
		return a.file.Missing(a.snapshot())
	}
	return expected.LastSeen(a.expected().Nodes(), a.snapshot())
}

// expected is who should answer.
func (a *Aggregator) expected() api.Expected {
	switch {
	case a.file != nil:
		return a.file
	case a.nodes != nil:
		return a.nodes
	}
	return expected.FromRoster(a.snapshot)
}

// Run serves until ctx ends, then leaves the roster and lets answers in
// flight finish. It enters the roster once there is a certificate and a gossip
// key. Its error is what ended it early, or what went wrong at the end.
func (a *Aggregator) Run(ctx context.Context) error {
	a.log.Info("aggregator started", "name", a.cfg.Name)
	working, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	if a.keeper != nil {
		work.Go(func() { a.keeper.Run(working) })
	}
	if a.nodes != nil {
		work.Go(func() { a.nodes.Run(working) })
	}
	if a.api != nil {
		work.Go(func() { a.api.run(working, a) })
	}
	err := member.Run(ctx, func(ctx context.Context) (*roster.Roster, error) {
		r, err := a.enter(ctx)
		if err != nil {
			return nil, err
		}
		work.Go(func() {
			a.agents.KeepConnected(working, func() ([]roster.Member, <-chan struct{}) {
				changed := r.Changed() // first, to miss nothing
				return r.Snapshot().ByRole(identity.Agent), changed
			})
		})
		return r, nil
	}, a.log, a.servers()...)
	stop()
	work.Wait()
	a.board.Close()
	a.newest.Close()
	a.fanout.Close()
	a.agents.Close()
	a.log.Info("aggregator stopped", "name", a.cfg.Name)
	return err
}

// enter enters the roster, as soon as there is what that needs.
func (a *Aggregator) enter(ctx context.Context) (*roster.Roster, error) {
	ready := a.id.Ready()
	if a.keeper != nil {
		ready = a.keeper.Ready() // gossip keys, too
	}
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r, err := roster.Start(ctx, a.cfg.Roster, a.log, a.reg)
	if err == nil {
		a.since.Store(time.Now().UnixNano())
		a.roster.Store(r)
	}
	return r, err
}

// waiting is why this aggregator is not in the roster yet.
func (a *Aggregator) waiting() error {
	if a.keeper != nil && a.keeper.Err() != nil {
		return a.keeper.Err()
	}
	return errors.New("not entered yet")
}

// lonely is why this aggregator, which is in the roster, may still hear of others or
// of agents; nil if it does not wait any more.
func (a *Aggregator) lonely() error {
	switch {
	case time.Since(time.Unix(0, a.since.Load())) > patience:
		return nil
	case !a.joined():
		return errors.New("no other member was reached yet; see --join")
	case len(a.snapshot().ByRole(identity.Agent)) == 0 && len(a.expected().Nodes()) > 0:
		return errors.New("no agent is in the roster yet")
	}
	return nil
}

func (a *Aggregator) servers() []obs.Server {
	servers := []obs.Server{
		{Name: "api", Listener: a.listeners[0], Handler: a.apiHandler(), WriteTimeout: apiWrite, MaxHeaderBytes: dashboard.MaxHeaderBytes},
		{Name: "debug", Listener: a.listeners[1], Handler: a.debugHandler()},
		{Name: "metrics", Listener: a.listeners[2], Handler: obs.MetricsHandler(a.reg, a.gatherer(), a.log)},
	}
	if a.keeper != nil {
		servers = append(servers, a.enrolment())
	}
	return servers
}

// apiHandler serves users: /api/v1, the Kubernetes Dashboard, and the probes. Health is
// 200 while the process lives; ready is an aggregator that has taken its time to find a fleet: one
// without agents, or alone, is ready to say that.
func (a *Aggregator) apiHandler() http.Handler {
	var ready obs.Probes
	ready.Add("roster", func() error {
		if a.roster.Load() == nil {
			return a.waiting()
		}
		return a.lonely()
	})
	ready.Add("connections", a.agents.Connected)
	if a.api != nil {
		ready.Add("metrics.k8s.io", a.api.server.Err)
		ready.Add("pods", a.api.pods.Synced)
	}
	mux := http.NewServeMux()
	mux.Handle("/", a.board) // a text for people
	mux.Handle("/api/v1/", apiv1.New(apiv1.Config{
		Resolution: a.cfg.Resolution, Namespaces: a.cfg.Namespaces, Timeout: a.cfg.Timeout,
	}, &api.Fleet{
		Expected: a.expected(), Joined: a.joined, Fanout: a.fanout, Agents: a.agents, Snapshot: a.newest,
	}))
	mux.Handle("GET /healthz", obs.Alive())
	mux.Handle("GET /readyz", ready.Ready())
	return a.board.Before(mux)
}

func (a *Aggregator) debugHandler() http.Handler {
	mux := http.NewServeMux()
	pages := api.Pages{
		Expected: a.expected(),
		Roster:   a.snapshot,
		Fanout:   func() any { return a.fanout.Status() },
		Snapshot: func() any { return a.newest.Status() },
		Config:   cli.Settings(a.cfg.flags),
		Node:     a.agents.Debug,
	}
	if a.api != nil {
		pages.Resource = func() any { return a.api.status() }
	}
	mux.Handle("/", api.Debug(pages))
	keys := a.survey()
	mux.HandleFunc("GET "+api.KeysPage, keys.ServeOwn)
	mux.HandleFunc("GET "+api.SurveyPath, keys.ServeAll)
	return mux
}
