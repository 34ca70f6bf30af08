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
	"github.com/rollcall-metrics/rollcall/pkg/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/member"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// gossipKeyPoll is how often a gossip key that is not there yet is looked for.
	gossipKeyPoll = time.Second
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
	enrol   *enrol.Client // nil: the certificate is from files
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
	err := a.identify()
	if err != nil {
		return nil, err
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

// identify finds out who this agent is: from files, or, later, from an aggregator.
func (a *Agent) identify() (err error) {
	self := identity.Peer{Role: identity.Agent, Name: a.cfg.Node}
	if a.cfg.Enrol.Address != "" {
		a.id = identity.New(self, a.log, a.reg)
		a.enrol, err = enrol.NewClient(a.cfg.Enrol, a.id, a.log, a.reg)
		return err
	}
	if a.id, err = identity.Load(a.cfg.Identity, a.log, a.reg); err != nil {
		return err
	}
	if a.id.Self() != self {
		return fmt.Errorf("--tls-cert-file %s is the certificate of %v, this is %v; give each agent its own, or set --node-name", a.cfg.Identity.Cert, a.id.Self(), self)
	}
	return nil
}

// Sampler is the agent's sampler: a fleet fills in history with it, before Run.
func (a *Agent) Sampler() *sampler.Sampler { return a.sampler }

// Close ends an agent that was not run.
func (a *Agent) Close() error {
	a.kubelet.Close()
	return errors.Join(member.Close(a.listeners), a.ring.Close())
}

// Run samples and serves until ctx ends, then leaves the roster, lets answers
// in flight finish, and closes the ring. It enters the roster once it has a
// certificate and a gossip key, and measures and answers on its node meanwhile.
// If ctx ends for [member.ErrCrash], it ends as a crash would, and nothing more
// is written. Its error is what ended it early, or what went wrong at the end.
func (a *Agent) Run(ctx context.Context) error {
	a.log.Info("agent started", "node", a.cfg.Node, "resolution", a.cfg.Resolution, "phase", sampler.Phase(a.cfg.Node, a.cfg.Resolution))
	working, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { a.sampler.Run(working) })
	if a.enrol != nil {
		done.Go(func() { a.enrol.Run(working) })
	}
	err := member.Run(ctx, a.enter, a.log, a.servers()...)
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

// enter enters the roster, as soon as there is what that needs.
func (a *Agent) enter(ctx context.Context) (*roster.Roster, error) {
	if a.enrol != nil {
		if err := a.awaitIdentity(ctx); err != nil {
			return nil, err
		}
	}
	r, err := roster.Start(ctx, a.cfg.Roster, a.log, a.reg)
	if err == nil {
		a.roster.Store(r)
	}
	return r, err
}

// awaitIdentity waits for a certificate and for gossip keys. An aggregator
// publishes them, and the kubelet brings them here, in any order.
func (a *Agent) awaitIdentity(ctx context.Context) error {
	select {
	case <-a.id.Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	for logged := false; ; logged = true {
		_, err := identity.GossipKeys(a.cfg.Roster.KeyFile)
		if err == nil {
			return nil
		}
		if !logged {
			a.log.Warn("no gossip key yet, trying again", "err", err)
		}
		select {
		case <-time.After(gossipKeyPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
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

// snapshot is the roster; empty before this agent has entered it.
func (a *Agent) snapshot() *roster.Snapshot {
	if r := a.roster.Load(); r != nil {
		return r.Snapshot()
	}
	return &roster.Snapshot{}
}

// waiting is why this agent is not in the roster yet; nil if it is.
func (a *Agent) waiting() error {
	if a.roster.Load() != nil {
		return nil
	}
	if a.enrol != nil && a.enrol.Err() != nil {
		return a.enrol.Err()
	}
	_, err := identity.GossipKeys(a.cfg.Roster.KeyFile)
	return err
}

func (a *Agent) gossipKeys() []string {
	if r := a.roster.Load(); r != nil {
		return r.KeyIDs()
	}
	return nil
}

func (a *Agent) debug() http.Handler {
	return api.Debug(api.Pages{
		Node: a.cfg.Node, Resolution: a.cfg.Resolution,
		Summary: a.sampler.Status,
		Ring:    a.ring.Status,
		Roster:  func() any { return a.snapshot() },
		Waiting: a.waiting,
		Keys:    a.gossipKeys,
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
	mux.Handle("GET /metrics", obs.MetricsHandler(a.reg, a.reg, a.log))
	mux.Handle("GET /livez", obs.Alive())
	mux.Handle("GET /readyz", ready.Ready())
	return mux
}
