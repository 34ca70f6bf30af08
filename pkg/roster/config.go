package roster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// A Config is what a member must know to take part.
type Config struct {
	// Name is the node of an agent, the pod of an aggregator; a pod may be called
	// like a node.
	Name string
	Role identity.Role
	// Bind is the address to listen at, Advertise the one to tell others (in
	// Kubernetes the pod's). Advertise is Bind if it is not set; left to guess,
	// memberlist would take any private address of the machine.
	Bind, Advertise netip.Addr
	// Port is for gossip, UDP and TCP, and is the default of Join and Missing.
	Port int
	// PeerPort is where an agent answers aggregators; 0 for an aggregator.
	PeerPort uint16
	// Version of the program; 24 bytes of printable ASCII are told to others.
	Version string
	// Join are the aggregators: addresses or DNS names, with or without port. A
	// name stands for all its addresses. Without entries, one waits to be joined.
	Join []string
	// Label is the identity of the cluster, at most 255 bytes: members with
	// another label don't talk to each other. All must have the same.
	Label string
	// KeyFile holds the gossip keys (identity.GossipKeys), and is followed as it
	// changes. Without it and Keys, gossip is open to everyone who can send packets.
	KeyFile string
	// Keys are the gossip keys now, the primary first, for those that have them
	// from elsewhere than KeyFile; they are followed likewise. It may be nil.
	Keys func() ([][]byte, error)
	// Missing returns the addresses, with or without port, of members that
	// should be here and are not. An aggregator asks every Timing.Heal, from one
	// goroutine, and joins five of them. It may be nil.
	Missing func() []string
	// Resolve finds the addresses of a DNS name; the system's resolver if nil.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Timing is DefaultTiming if it is zero.
	Timing Timing

	// Wrap may put faults between memberlist and the network. It may be nil.
	Wrap func(memberlist.NodeAwareTransport) memberlist.NodeAwareTransport
}

// Validate tells what is wrong, all of it at once.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := (identity.Peer{Role: c.Role, Name: c.Name}).Validate(); err != nil {
		errs = append(errs, err)
	}
	if !c.Bind.IsValid() || c.Bind.IsMulticast() {
		bad("--gossip-bind %v cannot be listened at", c.Bind)
	}
	if a := c.advertise(); a.Is4In6() || cannotBe(a) {
		bad("--gossip-advertise %v is not an address that others can reach; in Kubernetes set POD_IP", a)
	}
	if c.Port < 1 || c.Port > 65535 {
		bad("--gossip-port %d is not in 1 to 65535", c.Port)
	}
	if c.Role == identity.Agent && c.PeerPort == 0 {
		bad("an agent needs a peer port")
	}
	if len(c.Label) > memberlist.LabelMaxSize {
		bad("--cluster-label has %d bytes, at most %d", len(c.Label), memberlist.LabelMaxSize)
	}
	for _, entry := range c.Join {
		if _, _, err := splitTarget(entry, c.Port); err != nil {
			bad("--join: %w", err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return nil
}

// advertise is the address that others are told.
func (c *Config) advertise() netip.Addr {
	if c.Advertise.IsValid() {
		return c.Advertise
	}
	return c.Bind
}

// self is where others reach our gossip.
func (c *Config) self() netip.AddrPort { return netip.AddrPortFrom(c.advertise(), uint16(c.Port)) }

// timing is the given or the default one.
func (c *Config) timing() Timing {
	if c.Timing.ProbeInterval == 0 {
		return DefaultTiming()
	}
	return c.Timing
}

// memberlist is the configuration without delegates, keys and transport.
func (c *Config) memberlist(self life, logTo io.Writer) *memberlist.Config {
	t := c.timing()
	m := memberlist.DefaultLANConfig()
	m.Name = self.gossipName()
	m.BindAddr, m.BindPort = c.Bind.String(), c.Port
	m.AdvertiseAddr, m.AdvertisePort = c.advertise().String(), c.Port
	m.Label = c.Label
	m.Logger = log.New(logTo, "", 0)
	// Compression allocates 64 KiB for every message, of 100 bytes at most.
	m.EnableCompression = false
	m.GossipInterval, m.GossipNodes, m.GossipToTheDeadTime = t.GossipInterval, t.GossipNodes, t.GossipToTheDead
	m.ProbeInterval, m.ProbeTimeout = t.ProbeInterval, t.ProbeTimeout
	m.SuspicionMult, m.SuspicionMaxTimeoutMult = t.SuspicionMult, t.SuspicionMaxMult
	m.PushPullInterval, m.TCPTimeout = t.PushPull, t.TCPTimeout
	m.DeadNodeReclaimTime = t.DeadNodeReclaim
	m.HandoffQueueDepth, m.UDPBufferSize, m.QueueCheckInterval = t.HandoffQueueDepth, t.UDPBufferSize, t.QueueCheckInterval
	return m
}
