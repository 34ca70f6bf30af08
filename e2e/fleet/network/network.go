package network

import (
	"context"
	"net/netip"
	"sync"
)

// A Network decides who reaches whom. It is safe for concurrent use; what it is
// told holds for everything that begins to read or arrives after the call has
// returned.
type Network struct {
	mu     sync.Mutex
	side   map[netip.Addr]bool // those on one side; the others are on the other
	paused map[netip.Addr]bool
	conns  map[ends]*conn
	// changed is closed and replaced with every change of the above that may
	// let someone pass, or stop them.
	changed chan struct{}
}

// New returns a network in which everyone reaches everyone.
func New() *Network {
	return &Network{
		paused:  make(map[netip.Addr]bool),
		conns:   make(map[ends]*conn),
		changed: make(chan struct{}),
	}
}

// Partition puts these hosts on one side and all others on the other, and
// replaces an earlier partition, at once: a link that neither cuts is never cut.
func (n *Network) Partition(hosts ...netip.Addr) {
	side := make(map[netip.Addr]bool, len(hosts))
	for _, host := range hosts {
		side[host.Unmap()] = true
	}
	n.change(func() { n.side = side })
}

// Heal ends the partition. Paused hosts stay paused.
func (n *Network) Heal() { n.Partition() }

// Pause stops the host's traffic, also with itself, until Resume. Partitions
// don't affect it, and it takes one Resume however often a host was paused.
func (n *Network) Pause(host netip.Addr) {
	n.change(func() { n.paused[host.Unmap()] = true })
}

// Resume ends a Pause.
func (n *Network) Resume(host netip.Addr) {
	n.change(func() { delete(n.paused, host.Unmap()) })
}

// Host returns the host with that address. It holds nothing, so that it can be
// thrown away and asked for again.
func (n *Network) Host(addr netip.Addr) *Host { return &Host{network: n, addr: addr.Unmap()} }

func (n *Network) change(apply func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	apply()
	n.broadcast()
}

// broadcast needs mu.
func (n *Network) broadcast() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// link tells whether two hosts reach each other, and returns a channel that is
// closed when that may have changed.
func (n *Network) link(a, b netip.Addr) (open bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open(a, b), n.changed
}

// open needs mu.
func (n *Network) open(a, b netip.Addr) bool {
	return !n.paused[a] && !n.paused[b] && n.side[a] == n.side[b]
}

// await waits until two hosts reach each other, or ctx ends, and then returns
// its error.
func (n *Network) await(ctx context.Context, a, b netip.Addr) error {
	for {
		open, changed := n.link(a, b)
		if open {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ends are the addresses of a connection, as seen from one end.
type ends struct{ local, remote netip.AddrPort }

func (e ends) reversed() ends { return ends{local: e.remote, remote: e.local} }

func (e ends) valid() bool { return e.local.IsValid() && e.remote.IsValid() }

// enter notes an end of a connection. The second one to come makes both know
// each other, for as long as they live: the first to close must not look like
// a stranger to the one that still reads.
func (n *Network) enter(c *conn) {
	if !c.ends.valid() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c.ends] = c
	if peer := n.conns[c.ends.reversed()]; peer != nil {
		c.peer, c.paired = peer.host, true
		peer.peer, peer.paired = c.host, true
		n.broadcast()
	}
}

// leave must come before the end is closed: after that, its addresses may
// already be those of another connection.
func (n *Network) leave(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns[c.ends] == c {
		delete(n.conns, c.ends)
	}
}

// linkOf is link for a connection. Paired tells whether the other end is one of
// ours too, so that it withholds what is written here.
func (n *Network) linkOf(c *conn) (open, paired bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open(c.host, c.peer), c.paired, n.changed
}
