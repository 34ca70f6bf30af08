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
	"github.com/rollcall-metrics/rollcall/pkg/member"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// localTimeout bounds an answer of the node-local /api/v1.
	localTimeout = 10 * time.Second
	// peerIdle is how long a connection of an aggregator may be unused: longer
	// than the aggregators' own idle timeout, 1 h, so that they close it first and
	// no question meets a connection that is just being closed.
	peerIdle = 2 * time.Hour
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

	listeners []net.Listener // peer, local, metrics
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
	a.listeners, err = member.Listen(ctx, cfg.WrapListener,
		member.Address{Flag: "--peer-listen", Addr: cfg.PeerListen},
		member.Address{Flag: "--local-listen", Addr: cfg.LocalListen},
		member.Address{Flag: "--metrics-listen", Addr: cfg.MetricsListen})
	if err != nil {
		return nil, err
	}
	if a.kubelet, err = kubelet.New(cfg.Kubelet); err != nil {
		return nil, errors.Join(err, member.Close(a.listeners))
	}
	a.ring = ring.Open(ring.Config{Dir: cfg.DataDir, Resolution: cfg.Resolution, Retention: cfg.Duration, MaxDisk: cfg.MaxDisk}, log, a.reg)
	a.sampler = sampler.New(sampler.Config{
		Node: cfg.Node, Resolution: cfg.Resolution, Namespaces: cfg.Namespaces,
	}, a.kubelet, a.ring, log, a.reg)
	return a, nil
}

// Sampler is the agent's sampler: a fleet fills in history with it, before Run.
func (a *Agent) Sampler() *sampler.Sampler { return a.sampler }

// Close ends an agent that was not run.
func (a *Agent) Close() error {
	a.kubelet.Close()
	return errors.Join(member.Close(a.listeners), a.ring.Close())
}

// Run samples and serves until ctx ends, then leaves the roster, lets answers
// in flight finish, and closes the ring. If ctx ends for [member.ErrCrash], it
// ends as a crash would, and nothing more is written. Its error is what ended
// it early, or what went wrong at the end.
func (a *Agent) Run(ctx context.Context) error {
	r, err := roster.Start(ctx, a.cfg.Roster, a.log, a.reg)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	a.roster.Store(r)
	a.log.Info("agent started", "node", a.cfg.Node, "resolution", a.cfg.Resolution, "phase", sampler.Phase(a.cfg.Node, a.cfg.Resolution))

	sampling, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { a.sampler.Run(sampling) })
	err = member.Run(ctx, r, a.log, a.servers()...)
	stop()
	done.Wait()
	a.kubelet.Close()
	if member.Crashed(ctx) {
		return errors.Join(err, a.ring.Abandon())
	}
	err = errors.Join(err, a.ring.Close())
	a.log.Info("agent stopped", "node", a.cfg.Node)
	return err
}

func (a *Agent) servers() []obs.Server {
	debug := a.debug()
	return []obs.Server{
		{
			Name: "peer", Listener: a.listeners[0], TLS: a.id.ServerConfig(identity.Aggregator),
			Handler:     api.Peer(api.PeerConfig{Node: a.cfg.Node, Resolution: a.cfg.Resolution, Retention: a.cfg.Duration}, a.ring, debug, a.log, a.reg),
			IdleTimeout: peerIdle, ReadHeaderTimeout: peerWait, WriteTimeout: peerWrite,
		},
		{Name: "local", Listener: a.listeners[1], Handler: a.localHandler(debug)},
		{Name: "metrics", Listener: a.listeners[2], Handler: a.metricsHandler()},
	}
}

func (a *Agent) debug() http.Handler {
	return api.Debug(api.Pages{
		Node: a.cfg.Node, Resolution: a.cfg.Resolution,
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
