package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// virtualReadyWithin is how long the first complete answer may take: an
	// aggregator opens 200 connections a second.
	virtualReadyWithin = 2 * time.Minute
	// largeFrom is from how many virtual nodes on gossip has the timing of a
	// large cluster; below, news comes faster.
	largeFrom = 1000
	// outside is how many aggregators may run as processes of their own.
	outside = 4
	// otherFiles is how many files a fleet has open besides sockets of agents.
	otherFiles = 500
)

// validateVirtual says what is wrong with virtual nodes. --pods gets its default.
func (c *Config) validateVirtual() error {
	if c.flags != nil && !c.flags.Changed("pods") {
		c.Pods = podsOfVirtualNode
	}
	v := c.virtual()
	err := v.Validate()
	if c.Backfill != 0 {
		err = errors.Join(err, errors.New("--backfill is for --nodes; virtual ones have --virtual-history"))
	}
	if c.GossipPort < 1 || c.GossipPort > 65535 || c.GossipPort == gossipPort {
		err = errors.Join(err, fmt.Errorf("--virtual-gossip-port %d is not in 1 to 65535, or is %d, the aggregators'", c.GossipPort, gossipPort))
	}
	return err
}

// virtual is the configuration of the virtual nodes, without keys.
func (c *Config) virtual() virtual.Config {
	return virtual.Config{
		Nodes: c.VirtualNodes, Pods: c.Pods, Resolution: c.Resolution, History: c.VirtualHistory, Seed: c.Seed,
		Host:       func(i int) netip.Addr { return c.host(0, i) },
		Spare:      func(i int) netip.Addr { return c.host(2, i) },
		GossipPort: c.GossipPort,
	}
}

// raiseFiles makes room for the sockets of virtual nodes, or says what is missing.
func (c *Config) raiseFiles() error {
	// A listener each, and both ends of a connection to each aggregator within;
	// or one end of a connection to an aggregator outside.
	need := uint64(c.VirtualNodes*(1+max(1, 2*c.Aggregators)) + otherFiles)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if limit.Max < need {
		raised := syscall.Rlimit{Cur: need, Max: need} // root may
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			return fmt.Errorf("%d virtual nodes and %d aggregators need %d open files, and at most %d are allowed (ulimit -Hn): raise that, or take fewer, or run aggregators outside with --aggregators 0", c.VirtualNodes, c.Aggregators, need, limit.Max)
		}
		return nil
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("raise the limit of open files to %d: %w", limit.Max, err)
		}
	}
	return nil
}

// collectRarely lets garbage grow to three times of what is in use, unless GOGC
// is set: an agent looks through the few MB of its own, here 5000 would pay for
// looking through what all of them have.
func collectRarely() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}

// timing is that of gossip.
func (f *Fleet) timing() roster.Timing {
	if f.cfg.VirtualNodes >= largeFrom {
		return roster.DefaultTiming()
	}
	return roster.LocalTiming()
}

// prepareVirtual makes the virtual nodes, the list of them, and what aggregators
// outside need.
func (f *Fleet) prepareVirtual() error {
	keys, err := identity.GossipKeys(f.keyFile)
	if err != nil {
		return err
	}
	// Whose certificate it is does not matter: it brings the CA.
	files, err := f.authority.Issue(identity.Peer{Role: identity.Agent, Name: "virtual"})
	if err != nil {
		return err
	}
	cfg := f.cfg.virtual()
	if cfg.Identity, err = identity.Load(files, f.log, prometheus.NewRegistry()); err != nil {
		return err
	}
	cfg.Authority, cfg.Label, cfg.Key, cfg.Timing, cfg.Log = f.authority, f.label, keys[0], f.timing(), f.log
	if f.virtual, err = virtual.New(cfg); err != nil {
		return err
	}
	var expected strings.Builder
	for i, name := range f.virtual.Nodes() {
		fmt.Fprintf(&expected, "%s %v\n", name, netip.AddrPortFrom(f.cfg.host(0, i), uint16(f.cfg.GossipPort)))
	}
	if err := f.writeExpected(expected.String()); err != nil {
		return err
	}
	for i := range outside {
		a, err := f.newAggregator(f.cfg.Aggregators + i)
		if err != nil {
			return err
		}
		f.outside = append(f.outside, a)
	}
	return nil
}

// virtualSeeds are gossip addresses of the first virtual nodes.
func (f *Fleet) virtualSeeds() []string {
	var seeds []string
	for i := range min(maxSeeds, f.cfg.VirtualNodes) {
		seeds = append(seeds, netip.AddrPortFrom(f.cfg.host(0, i), uint16(f.cfg.GossipPort)).String())
	}
	return seeds
}

// outsideCommand is the command line of the first aggregator outside.
func (f *Fleet) outsideCommand() string {
	return "bin/rollcall-aggregator " + strings.Join(f.outside[0].arguments(), " ")
}

// explainVirtual prints where everything is, and lines to try.
func (f *Fleet) explainVirtual(out io.Writer) error {
	for _, a := range f.aggregators {
		fmt.Fprintf(out, "%-14s %s/api/v1/node  debug http://%s/debug/  metrics http://%s/metrics\n", a.name, a.url(), a.cfg.DebugListen, a.cfg.MetricsListen)
	}
	nodes := f.virtual.Nodes()
	first, err := f.virtual.Status(nodes[0])
	if err != nil {
		return err
	}
	url := fmt.Sprintf("http://%v", f.cfg.Listen)
	fmt.Fprintf(out, `%s to %s answer aggregators at %s:%d and so on

One more aggregator, as a process of its own (up to %d of them; see %s):
  %s

Try:
  curl -s '%s/api/v1/node?window=5m&step=1m'
  curl -s '%s/api/v1/pod/checkout?window=1m'
  curl -s '%s/api/v1/pod/kube-system?window=1m'
  curl -s -X POST 'http://%v/virtual?nodes=%s&fault=slow:3s' && curl -s '%s/api/v1/node?window=1m'

Ctrl-C stops the fleet.
`, nodes[0], nodes[len(nodes)-1], first.Address, virtual.PeerPort, outside, filepath.Join(f.dir, "tls"), f.outsideCommand(),
		url, url, url, f.cfg.Admin, nodes[len(nodes)-1], url)
	return nil
}
