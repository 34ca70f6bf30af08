package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Gossip puts the network between a member on this host and t, which must listen
// at the host's address. It fits roster.Config.Wrap. Shutdown shuts t down too,
// and closes all streams.
func (h *Host) Gossip(t memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
	ctx, cancel := context.WithCancel(context.Background())
	g := &gossip{
		NodeAwareTransport: t,
		host:               h,
		ctx:                ctx,
		packets:            make(chan *memberlist.Packet),
		incoming:           make(chan net.Conn),
		drained:            make(chan struct{}),
		streams:            make(map[*stream]bool),
	}
	g.shutdown = sync.OnceValue(func() error {
		g.mu.Lock()
		g.stopped = true
		g.mu.Unlock()
		cancel()
		g.closeStreams()
		// It waits until all it has received is taken, so we go on taking.
		err := t.Shutdown()
		close(g.drained)
		g.work.Wait()
		return err
	})
	return g
}

// gossip is a transport on a host. It embeds the real one for its addresses.
type gossip struct {
	memberlist.NodeAwareTransport
	host     *Host
	ctx      context.Context // ends with Shutdown
	packets  chan *memberlist.Packet
	incoming chan net.Conn
	drained  chan struct{}
	shutdown func() error
	work     sync.WaitGroup

	mu      sync.Mutex
	started bool
	stopped bool
	streams map[*stream]bool // open
}

// WriteToAddress drops a packet to a host that cannot be reached, as a network
// does, without an error.
func (g *gossip) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	addr, err := netip.ParseAddrPort(to.Addr)
	if err != nil {
		return time.Time{}, fmt.Errorf("gossip from %s: %w", g.host.addr, err)
	}
	if open, _ := g.host.network.link(g.host.addr, addr.Addr().Unmap()); !open {
		return time.Now(), nil
	}
	return g.NodeAwareTransport.WriteToAddress(b, to)
}

func (g *gossip) WriteTo(b []byte, addr string) (time.Time, error) {
	return g.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (g *gossip) PacketCh() <-chan *memberlist.Packet {
	g.start()
	return g.packets
}

func (g *gossip) StreamCh() <-chan net.Conn {
	g.start()
	return g.incoming
}

// start is called when the first packet or stream is wanted, since memberlist
// does not shut down a transport that it was given with a bad configuration.
func (g *gossip) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started || g.stopped {
		return
	}
	g.started = true
	g.work.Go(g.receivePackets)
	g.work.Go(g.receiveStreams)
}

func (g *gossip) receivePackets() {
	for {
		select {
		case p := <-g.NodeAwareTransport.PacketCh():
			if open, _ := g.host.network.link(g.host.addr, addrPort(p.From).Addr()); !open {
				continue
			}
			select {
			case g.packets <- p:
			case <-g.ctx.Done():
			}
		case <-g.drained:
			return
		}
	}
}

func (g *gossip) receiveStreams() {
	for {
		select {
		case inner := <-g.NodeAwareTransport.StreamCh():
			s, err := g.track(g.host.wrapConn(inner))
			if err != nil {
				continue
			}
			g.work.Go(func() { g.host.deliver(s.conn, s, g.incoming, g.ctx.Done()) })
		case <-g.drained:
			return
		}
	}
}

func (g *gossip) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout does not use the real transport, which leaves the address
// that it dials from to the system.
func (g *gossip) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	deadline := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(g.ctx, deadline)
	defer cancel()
	c, err := g.host.dial(ctx, "tcp", to.Addr)
	if err != nil {
		return nil, err
	}
	s, err := g.track(c)
	if err != nil {
		return nil, err
	}
	// memberlist writes its label before it sets a deadline, and its one prober
	// waits for that.
	if err := s.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (g *gossip) Shutdown() error { return g.shutdown() }
