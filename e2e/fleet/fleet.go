package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/network"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

const (
	gossipPort = 7946
	// maxSeeds is how many aggregators are named to the others.
	maxSeeds = 3
	// startAtOnce is how many nodes are started, and their history replayed,
	// at a time: they are bound by CPU.
	startAtOnce = 4
)

// A Fleet is N nodes, real or virtual, and M aggregators in this process.
type Fleet struct {
	cfg     Config
	version string
	log     *slog.Logger

	dir                       string // of rings and certificates
	temporary                 bool
	token, tokenFile, keyFile string
	label                     string
	expectedFile              string
	authority                 *identitytest.Authority
	trace                     *standin.Trace
	network                   *network.Network

	virtual     *virtual.Fleet // nil: nodes
	nodes       []*node
	aggregators []*aggregator
	outside     []*aggregator  // which the fleet does not run itself
	kubelets    []func() error // wait for the stand-ins' servers

	replayed atomic.Int64 // slots of history so far
}

// NewFleet prepares a fleet: folder, keys, certificates. Nothing runs yet.
func NewFleet(cfg Config, version string, log *slog.Logger) (*Fleet, error) {
	f := &Fleet{cfg: cfg, version: version, log: log, dir: cfg.Data, network: network.New(), label: "fleet-" + rand.Text()}
	if f.dir == "" {
		dir, err := os.MkdirTemp("", "rollcall-fleet-")
		if err != nil {
			return nil, err
		}
		f.dir, f.temporary = dir, true
	}
	if err := f.prepare(); err != nil {
		return nil, errors.Join(err, f.remove())
	}
	return f, nil
}

func (f *Fleet) prepare() (err error) {
	keys := filepath.Join(f.dir, "tls")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if f.authority, err = identitytest.New(keys); err != nil {
		return err
	}
	f.keyFile = filepath.Join(keys, "gossip.key")
	if err := identitytest.WriteGossipKey(f.keyFile); err != nil {
		return err
	}
	f.token, f.tokenFile = rand.Text(), filepath.Join(keys, "token")
	if err := writeFile(f.tokenFile, f.token); err != nil {
		return err
	}
	if f.cfg.VirtualNodes > 0 {
		err = f.prepareVirtual()
	} else {
		err = f.prepareNodes()
	}
	if err != nil {
		return err
	}
	for i := range f.cfg.Aggregators {
		a, err := f.newAggregator(i)
		if err != nil {
			return err
		}
		f.aggregators = append(f.aggregators, a)
	}
	return nil
}

// prepareNodes makes the nodes, and the list of them.
func (f *Fleet) prepareNodes() (err error) {
	if f.trace, err = standin.LoadTrace(); err != nil {
		return err
	}
	var expected strings.Builder
	for i := range f.cfg.Nodes {
		n, err := f.newNode(i)
		if err != nil {
			return err
		}
		f.nodes = append(f.nodes, n)
		fmt.Fprintf(&expected, "%s %s\n", n.name, n.addr)
	}
	return f.writeExpected(expected.String())
}

// writeExpected writes the list of the nodes that should answer.
func (f *Fleet) writeExpected(list string) error {
	f.expectedFile = filepath.Join(f.dir, "expected-nodes")
	return writeFile(f.expectedFile, list)
}

// seeds are the gossip addresses of the first aggregators, or of virtual nodes.
func (f *Fleet) seeds() []string {
	if f.virtual != nil {
		return f.virtualSeeds()
	}
	var seeds []string
	for i := range min(maxSeeds, f.cfg.Aggregators) {
		seeds = append(seeds, netip.AddrPortFrom(f.cfg.host(1, i), gossipPort).String())
	}
	return seeds
}

// Start starts everything: the aggregators, then the nodes, with history.
// After an error, Stop ends what was started.
func (f *Fleet) Start(ctx context.Context) error {
	if f.virtual != nil {
		if err := f.virtual.Start(ctx); err != nil {
			return err
		}
	}
	for _, a := range f.aggregators {
		if err := a.start(ctx); err != nil {
			return err
		}
	}
	for _, n := range f.nodes {
		wait, err := n.serveKubelet(ctx, f)
		if err != nil {
			return err
		}
		f.kubelets = append(f.kubelets, wait)
	}
	var g errgroup.Group
	g.SetLimit(startAtOnce)
	for _, n := range f.nodes {
		g.Go(func() error { return n.start(ctx, f) })
	}
	return g.Wait()
}

// Stop ends everything gracefully, agents first, and removes a temporary
// folder. The stand-ins end with the context that Start was given, which must
// have ended or be about to.
func (f *Fleet) Stop() error {
	var g errgroup.Group
	for _, n := range f.nodes {
		g.Go(func() error { return n.stop(false) })
	}
	errs := []error{g.Wait()}
	for _, a := range f.aggregators {
		errs = append(errs, a.stop(false))
	}
	for _, wait := range f.kubelets {
		errs = append(errs, wait())
	}
	if f.virtual != nil {
		errs = append(errs, f.virtual.Stop())
	}
	return errors.Join(append(errs, f.remove())...)
}

func (f *Fleet) remove() error {
	if !f.temporary {
		return nil
	}
	return os.RemoveAll(f.dir)
}

// node finds a node by name.
func (f *Fleet) node(name string) (*node, error) {
	for _, n := range f.nodes {
		if n.name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("no node %q; there are %s to %s", name, f.nodes[0].name, f.nodes[len(f.nodes)-1].name)
}

// aggregator finds an aggregator by name.
func (f *Fleet) aggregator(name string) (*aggregator, error) {
	for _, a := range f.aggregators {
		if a.name == name {
			return a, nil
		}
	}
	return nil, fmt.Errorf("no aggregator %q; there are %s to %s", name, f.aggregators[0].name, f.aggregators[len(f.aggregators)-1].name)
}
