package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// maxNodes is how many real agents one machine should bear.
	maxNodes = 1000
	// maxBackfill is how much history is replayed at most: a node's day takes
	// about half a minute of CPU.
	maxBackfill = 24 * time.Hour
)

// The default of --pods, for nodes with a real agent, and for virtual ones: as
// many as kubelets of large clusters have.
const (
	podsOfNode        = 55
	podsOfVirtualNode = 30
)

// A Config says what fleet to run.
type Config struct {
	Nodes, Aggregators int
	// VirtualNodes, if not 0, take the place of Nodes: agents without a kubelet
	// and without a disk, with VirtualHistory of made-up samples.
	VirtualNodes   int
	VirtualHistory time.Duration
	// GossipPort of the virtual nodes is taken at all addresses of the machine.
	GossipPort int
	// Pods is how many each node has.
	Pods int
	// Resolution is the distance of slots; the recorded trace advances by one
	// answer a slot, so below 15 s it runs faster than it was recorded.
	Resolution time.Duration
	// Backfill is how much history is there at the start.
	Backfill time.Duration
	// Listen is where the first aggregator serves; the next ones take the
	// ports after it. Admin is where faults are ordered.
	Listen, Admin netip.AddrPort
	// Data is the folder of rings and certificates; "" is a temporary one.
	Data string
	Seed int64
	// For is how long the fleet runs; 0 is until it is stopped.
	For time.Duration
	// Network is what the hosts' loopback addresses are taken from.
	Network netip.Prefix

	flags *pflag.FlagSet
}

// AddFlags adds the fleet's flags.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	c.flags = fs
	fs.IntVar(&c.Nodes, "nodes", 3, "nodes, each with a stand-in kubelet and a real agent")
	fs.IntVar(&c.VirtualNodes, "virtual-nodes", 0, "instead of --nodes: agents without kubelet and disk, up to 16000")
	fs.DurationVar(&c.VirtualHistory, "virtual-history", 24*time.Hour, "history that virtual nodes have at once, and keep")
	fs.IntVar(&c.GossipPort, "virtual-gossip-port", 7950, "gossip port of virtual nodes, taken at all addresses of this machine")
	fs.IntVar(&c.Aggregators, "aggregators", 1, "real aggregators; with virtual nodes it may be 0, and a command line for a process is printed")
	fs.IntVar(&c.Pods, "pods", podsOfNode, "pods on each node; virtual nodes have 30 if it is not set")
	fs.DurationVar(&c.Resolution, "resolution", 15*time.Second, "distance of samples; below 15s the trace is replayed faster than it was recorded")
	fs.DurationVar(&c.Backfill, "backfill", 0, "history to replay before going live")
	fs.TextVar(&c.Listen, "listen", netip.MustParseAddrPort("127.0.0.1:8000"), "address of the first aggregator's API; the others take the next ports")
	fs.TextVar(&c.Admin, "admin", netip.MustParseAddrPort("127.0.0.1:8090"), "address of the admin API: faults and truth")
	fs.StringVar(&c.Data, "data", "", "folder for history and certificates, kept; a temporary one if empty")
	fs.Int64Var(&c.Seed, "seed", 1, "same seed, same fleet")
	fs.DurationVar(&c.For, "for", 0, "stop after so long; 0 is never")
	fs.TextVar(&c.Network, "network", netip.MustParsePrefix("127.20.0.0/16"), "loopback network of the hosts; a second fleet needs another")
}

// Validate says what is wrong, naming the flags.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	least := 1
	if c.VirtualNodes != 0 {
		least = 0
		errs = append(errs, c.validateVirtual())
	} else if c.Nodes < 1 || c.Nodes > maxNodes {
		bad("--nodes %d is not in 1 to %d", c.Nodes, maxNodes)
	}
	if c.Aggregators < least || c.Aggregators > 16 {
		bad("--aggregators %d is not in %d to 16", c.Aggregators, least)
	}
	if c.Pods < 1 || c.Pods > 1000 {
		bad("--pods %d is not in 1 to 1000", c.Pods)
	}
	if err := model.ValidateResolution(c.Resolution); err != nil {
		bad("--resolution: %w", err)
	}
	if c.Backfill < 0 || c.Backfill > maxBackfill {
		bad("--backfill %v is not in 0s to %v", c.Backfill, maxBackfill)
	}
	if c.For < 0 {
		bad("--for %v is negative", c.For)
	}
	for flag, a := range map[string]netip.AddrPort{"--listen": c.Listen, "--admin": c.Admin} {
		// Anyone who reaches the admin API can break things, and the fleet's
		// data is made up.
		if !a.Addr().IsLoopback() {
			bad("%s %v is not a loopback address such as 127.0.0.1:8000", flag, a)
		}
	}
	if int(c.Listen.Port())+c.Aggregators > 1<<16 {
		bad("--listen %v has no room for %d ports after it", c.Listen, c.Aggregators)
	}
	if !c.Network.Addr().Is4() || !c.Network.Addr().IsLoopback() || c.Network.Bits() > 16 {
		bad("--network %v is not a network within 127.0.0.0/8 with room for all hosts, such as 127.20.0.0/16", c.Network)
	}
	return errors.Join(errs...)
}

// host is the loopback address of the i-th host of a kind; kinds are 64 blocks
// of 256 addresses apart.
func (c *Config) host(kind, i int) netip.Addr {
	b := c.Network.Masked().Addr().As4()
	n := kind*64*256 + (i/250)*256 + i%250 + 1
	b[2], b[3] = byte(n>>8), byte(n)
	return netip.AddrFrom4(b)
}
