package virtual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/e2e/crowd"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// A Fleet is many agents in this process. It is safe for concurrent use.
type Fleet struct {
	cfg    Config
	log    *slog.Logger
	agents []*agent
	names  map[string]*agent
	crowd  *crowd.Crowd
}

// New makes certificates and names; nothing runs yet.
func New(cfg Config) (*Fleet, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	f := &Fleet{cfg: cfg, log: cfg.Log, agents: make([]*agent, cfg.Nodes), names: make(map[string]*agent, cfg.Nodes)}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	recording, err := fullnode.Unpack(standin.Recording())
	if err != nil {
		return nil, err
	}
	cast := newCast(&f.cfg, recording)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	g.Go(cast.play)
	for i := range f.agents {
		g.Go(func() (err error) {
			f.agents[i], err = newAgent(&f.cfg, cast, i, f.log)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, a := range f.agents {
		a.next = f.agents[(i+1)%len(f.agents)]
		f.names[a.name] = a
	}
	return f, nil
}

// Start starts all agents, and their gossip. They run until ctx ends; Stop must
// be called in any case.
func (f *Fleet) Start(ctx context.Context) error {
	for _, a := range f.agents {
		a.orders.Lock()
		err := a.start(ctx)
		a.orders.Unlock()
		if err != nil {
			return err
		}
	}
	now := time.Now()
	who := make([]crowd.Member, len(f.agents))
	for i, a := range f.agents {
		who[i] = crowd.Member{
			Peer: identity.Peer{Role: identity.Agent, Name: a.name},
			Addr: a.addr, PeerPort: PeerPort, Start: now,
		}
	}
	var err error
	f.crowd, err = crowd.Start(ctx, crowd.Config{
		Who: who, Label: f.cfg.Label, Key: f.cfg.Key, Port: f.cfg.GossipPort, Timing: f.cfg.Timing, Log: f.log,
	})
	return err
}

// Stop ends everything, without a word in gossip.
func (f *Fleet) Stop() error {
	var errs []error
	if f.crowd != nil {
		errs = append(errs, f.crowd.Close())
	}
	var g errgroup.Group
	for _, a := range f.agents {
		g.Go(func() error {
			a.orders.Lock()
			defer a.orders.Unlock()
			return a.stop(false)
		})
	}
	return errors.Join(append(errs, g.Wait())...)
}

// Seeds are gossip addresses to join: of the first three nodes.
func (f *Fleet) Seeds() []string {
	var seeds []string
	for i := range min(3, len(f.agents)) {
		seeds = append(seeds, f.crowd.Addr(i).String())
	}
	return seeds
}

// Crowd is the gossip of the agents; its i-th member is the i-th node.
func (f *Fleet) Crowd() *crowd.Crowd { return f.crowd }

// Nodes are the names of all nodes.
func (f *Fleet) Nodes() []string {
	names := make([]string, len(f.agents))
	for i, a := range f.agents {
		names[i] = a.name
	}
	return names
}

// agent finds one by the name of its node.
func (f *Fleet) agent(node string) (*agent, error) {
	if a := f.names[node]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("no node %q; there are %s to %s", node, f.agents[0].name, f.agents[len(f.agents)-1].name)
}

// A Status is how one agent is.
type Status struct {
	Name        string `json:"name"`
	Address     string `json:"address"`
	Agent       string `json:"agent"` // running or stopped
	Fault       string `json:"fault"`
	Connections int    `json:"connections"`
}

// Status is how an agent is.
func (f *Fleet) Status(node string) (Status, error) {
	a, err := f.agent(node)
	if err != nil {
		return Status{}, err
	}
	return a.status(), nil
}

func (a *agent) status() Status {
	a.orders.Lock()
	defer a.orders.Unlock()
	s := Status{Name: a.name, Address: a.addr.String(), Agent: "running", Fault: a.current().String(), Connections: a.line.count()}
	if a.cancel == nil {
		s.Agent = "stopped"
	}
	return s
}
