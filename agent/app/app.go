// Package app wires and runs the agent. Nothing else constructs its parts.
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

	"github.com/rollcall-metrics/rollcall/agent/api"
	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// leaveTimeout bounds saying goodbye: the announcement takes 2 s to reach
	// everyone, and the pod has 30 s in all.
	leaveTimeout = 10 * time.Second
	// localTimeout bounds an answer of the node-local /api/v1.
	localTimeout = 10 * time.Second
	// peerIdle is how long a connection of an aggregator may be unused. They
	// are opened once and kept, so only the forgotten ones are to be closed.
	peerIdle = 10 * time.Minute
	// peerWait is how long such a connection may wait for its first question.
	peerWait = time.Minute
	// peerWrite bounds one answer, the slowest reader included.
	peerWrite = time.Minute
)

// An Agent is one node's agent, ready to run.
type Agent struct {
	cfg     Config
	log     *slog.Logger
	reg     *prometheus.Registry
	id      *identity.Source
	kubelet *kubelet.Client
	ring    *ring.Ring
	sampler *sampler.Sampler
	roster  atomic.Pointer[roster.Roster] // nil until Run

	peer, local, metrics net.Listener

	killed atomic.Bool
	cancel atomic.Pointer[context.CancelFunc]
}

// New opens the agent's files and listeners. It fails on what a person has to
// mend: certificates, addresses. It does not need the kubelet, the disk or any
// other member. The caller calls Run, or Close.
func New(ctx context.Context, cfg Config, version string, log *slog.Logger) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.complete(version)
	a := &Agent{cfg: cfg, log: log, reg: obs.NewRegistry("agent", version)}
	var err error
	if a.id, err = identity.Load(cfg.Identity, log, a.reg); err != nil {
		return nil, err
	}
	if want := (identity.Peer{Role: identity.Agent, Name: cfg.Node}); a.id.Self() != want {
		return nil, fmt.Errorf("--tls-cert-file %s is the certificate of %v, this is %v; give each agent its own, or set --node-name", cfg.Identity.Cert, a.id.Self(), want)
	}
	if err := a.listen(ctx); err != nil {
		return nil, err
	}
	if a.kubelet, err = kubelet.New(cfg.Kubelet); err != nil {
		return nil, errors.Join(err, a.closeListeners())
	}
	a.ring = ring.Open(ring.Config{Dir: cfg.DataDir, Resolution: cfg.Resolution, Retention: cfg.Duration}, log, a.reg)
	a.sampler = sampler.New(sampler.Config{
		Node: cfg.Node, Resolution: cfg.Resolution, Namespaces: cfg.Namespaces,
	}, a.kubelet, a.ring, log, a.reg)
	return a, nil
}

func (a *Agent) listen(ctx context.Context) error {
	for _, l := range []struct {
		to         *net.Listener
		flag, addr string
	}{
		{&a.peer, "--peer-listen", a.cfg.PeerListen},
		{&a.local, "--local-listen", a.cfg.LocalListen},
		{&a.metrics, "--metrics-listen", a.cfg.MetricsListen},
	} {
		opened, err := obs.Listen(ctx, l.flag, l.addr)
		if err != nil {
			return errors.Join(err, a.closeListeners())
		}
		if a.cfg.WrapListener != nil {
			opened = a.cfg.WrapListener(opened)
		}
		*l.to = opened
	}
	return nil
}

func (a *Agent) closeListeners() error {
	var errs []error
	for _, l := range []net.Listener{a.peer, a.local, a.metrics} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// Sampler is the agent's sampler: a fleet fills in history with it, before Run.
func (a *Agent) Sampler() *sampler.Sampler { return a.sampler }

// Close ends an agent that was not run.
func (a *Agent) Close() error {
	a.kubelet.Close()
	return errors.Join(a.closeListeners(), a.ring.Close())
}

// Kill ends Run as a crash would: without leaving the roster, without writing
// what is not on disk.
func (a *Agent) Kill() {
	a.killed.Store(true)
	if cancel := a.cancel.Load(); cancel != nil {
		(*cancel)()
	}
}

// Run samples and serves until ctx ends, then leaves the roster, lets answers
// in flight finish, and closes the ring. Its error is what ended it early, or
// what went wrong at the end.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.cancel.Store(&cancel)

	r, err := roster.Start(ctx, a.cfg.Roster, a.log, a.reg)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	a.roster.Store(r)
	a.log.Info("agent started", "node", a.cfg.Node, "resolution", a.cfg.Resolution, "phase", sampler.Phase(a.cfg.Node, a.cfg.Resolution))

	debug := a.debug()
	servers := []obs.Server{
		{
			Name: "peer", Listener: a.peer, TLS: a.id.ServerConfig(identity.Aggregator),
			Handler:     api.Peer(a.cfg.Node, a.cfg.Resolution, a.ring, debug, a.log, a.reg),
			IdleTimeout: peerIdle, ReadHeaderTimeout: peerWait, WriteTimeout: peerWrite,
		},
		{Name: "local", Listener: a.local, Handler: a.localHandler(debug)},
		{Name: "metrics", Listener: a.metrics, Handler: a.metricsHandler()},
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
	work.Go(func() { a.sampler.Run(ctx) })

	<-ctx.Done()
	errs := []error{a.leave(r)}
	work.Wait()
	close(failed)
	for err := range failed {
		errs = append(errs, err)
	}
	a.kubelet.Close()
	if a.killed.Load() {
		return errors.Join(append(errs, a.ring.Abandon())...)
	}
	errs = append(errs, a.ring.Close())
	a.log.Info("agent stopped", "node", a.cfg.Node)
	return errors.Join(errs...)
}

func (a *Agent) leave(r *roster.Roster) error {
	if a.killed.Load() {
		return r.Kill()
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	return r.Close(ctx)
}

func (a *Agent) debug() http.Handler {
	return api.Debug(api.Pages{
		Summary: a.sampler.Status,
		Ring:    a.ring.Status,
		Roster:  func() any { return a.roster.Load().Snapshot() },
		Config:  cli.Settings(a.cfg.flags),
	})
}

// localHandler serves those on the node: /api/v1 of this node, and debug pages.
func (a *Agent) localHandler(debug http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", apiv1.New(apiv1.Config{
		Resolution: a.cfg.Resolution, Namespaces: a.cfg.Namespaces, Timeout: localTimeout,
	}, api.Local(a.cfg.Node, a.ring)))
	mux.Handle("/debug/", debug)
	return mux
}

// metricsHandler serves what Kubernetes and Prometheus ask. Alive depends on
// nothing; ready is an agent that has something to say and a disk to keep it on.
func (a *Agent) metricsHandler() http.Handler {
	var ready obs.Probes
	ready.Add("sample", a.sampler.Ready)
	ready.Add("ring", a.ring.Err)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", obs.MetricsHandler(a.reg, a.log))
	mux.Handle("GET /livez", obs.Alive())
	mux.Handle("GET /readyz", ready.Ready())
	return mux
}
