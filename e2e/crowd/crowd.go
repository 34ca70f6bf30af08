package crowd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// PeerPort is what all agents of the crowd say they answer aggregators at;
	// nothing does.
	PeerPort = 9810
	// maxMembers is what 127.100.x.y has room for.
	maxMembers = 1<<16 - 2
	// receiveBuffer of the UDP socket in bytes, memberlist's; the kernel may
	// grant less.
	receiveBuffer = 2 << 20
)

// Config is how a crowd is.
type Config struct {
	// Members is how many there are, up to 65534. The first Aggregators of them
	// are aggregators, the others agents.
	Members, Aggregators int
	// Label and Key are those of gossip; without a Key, of 16, 24 or 32 bytes,
	// it is not encrypted.
	Label string
	Key   []byte
	// Port of all members, UDP and TCP, taken at all addresses of the machine;
	// 0 for any that is free.
	Port int
	// Timing says how often guests are told, probed and visited: DefaultTiming
	// if it is zero. It should be that of the guests.
	Timing roster.Timing
	// Log gets what goes wrong, at debug level. It may be nil.
	Log *slog.Logger
}

// A Crowd is many members of gossip that are not there. It is safe for
// concurrent use.
type Crowd struct {
	cfg    Config
	timing roster.Timing
	log    *slog.Logger
	seal   seal
	table  *table
	counts counts
	seq    uint32 // of pings; for probe alone
	port   uint16
	udp    *ipv4.PacketConn
	tcp    net.Listener
	cancel context.CancelFunc
	work   sync.WaitGroup
	closed error // once work is done
}

// Start listens, and answers until ctx ends or Close is called; Close must be
// called in any case.
func Start(ctx context.Context, cfg Config) (*Crowd, error) {
	if cfg.Members < 1 || cfg.Members > maxMembers || cfg.Aggregators < 0 || cfg.Aggregators > cfg.Members {
		return nil, fmt.Errorf("crowd: %d members, %d of them aggregators; want 1 to %d", cfg.Members, cfg.Aggregators, maxMembers)
	}
	c := &Crowd{cfg: cfg, timing: cfg.Timing, log: cfg.Log}
	if c.timing.ProbeInterval == 0 {
		c.timing = roster.DefaultTiming()
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.seal, err = newSeal(cfg.Label, cfg.Key); err != nil {
		return nil, fmt.Errorf("crowd: %w", err)
	}
	if err := c.listen(); err != nil {
		return nil, fmt.Errorf("crowd: %w", err)
	}
	c.fill()
	ctx, c.cancel = context.WithCancel(ctx)
	c.work.Go(func() { <-ctx.Done(); c.closed = errors.Join(c.udp.Close(), c.tcp.Close()) })
	c.work.Go(c.receive)
	c.work.Go(func() { c.accept(ctx) })
	c.work.Go(func() { c.gossip(ctx) })
	c.work.Go(func() { c.probe(ctx) })
	c.work.Go(func() { c.visit(ctx) })
	return c, nil
}

// listen takes the port for both protocols.
func (c *Crowd) listen() error {
	for attempt := 0; ; attempt++ {
		tcp, err := net.Listen("tcp4", fmt.Sprintf(":%d", c.cfg.Port))
		if err != nil {
			return err
		}
		port := tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		if err != nil {
			_ = tcp.Close()
			// One that is free for TCP may be taken for UDP.
			if c.cfg.Port == 0 && errors.Is(err, syscall.EADDRINUSE) && attempt < 10 {
				continue
			}
			return err
		}
		c.tcp, c.udp, c.port = tcp, ipv4.NewPacketConn(udp), uint16(port)
		if err := errors.Join(c.udp.SetControlMessage(ipv4.FlagDst, true), udp.SetReadBuffer(receiveBuffer)); err != nil {
			return errors.Join(err, udp.Close(), tcp.Close())
		}
		return nil
	}
}

// fill makes the members.
func (c *Crowd) fill() {
	c.table = &table{
		copies: retransmits(c.cfg.Members),
		counts: &c.counts,
		names:  make(map[string]*member, c.cfg.Members),
		addrs:  make(map[netip.Addr]*member, c.cfg.Members),
	}
	for i := range c.cfg.Members {
		peer := c.Peer(i)
		m := &member{
			name:        gossipName(peer),
			addr:        netip.AddrPortFrom(addrOf(i), c.port),
			meta:        encodeMeta(peer.Role, false),
			vsn:         version,
			incarnation: 1,
			state:       memberlist.StateAlive,
		}
		c.table.crowd = append(c.table.crowd, m)
		c.table.names[m.name] = m
		c.table.addrs[m.addr.Addr()] = m
	}
}

// addrOf is the address of member i.
func addrOf(i int) netip.Addr {
	i++ // not 127.100.0.0, which looks like a network
	return netip.AddrFrom4([4]byte{127, 100, byte(i >> 8), byte(i)})
}

// gossipName is the gossipName of pkg/roster/delegate.go.
func gossipName(p identity.Peer) string {
	if p.Role == identity.Aggregator {
		return "aggregator/" + p.Name
	}
	return p.Name
}

// Peer is who member i is.
func (c *Crowd) Peer(i int) identity.Peer {
	p := identity.Peer{Role: identity.Agent, Name: fmt.Sprintf("crowd-%05d", i)}
	if i < c.cfg.Aggregators {
		p.Role = identity.Aggregator
	}
	return p
}

// Addr is where the gossip of member i is.
func (c *Crowd) Addr(i int) netip.AddrPort { return c.table.crowd[i].addr }

// Seed is where to join: host:port of the first member, which is an aggregator
// if there are any.
func (c *Crowd) Seed() string { return c.Addr(0).String() }

// Hang makes members fall silent, and nobody in the crowd notices: guests have
// to find out by their own probes, once in Members probe intervals.
func (c *Crowd) Hang(members ...int) {
	c.change(members, func(t *table, i int, m *member) { m.silent = true })
}

// Wake makes silent members answer again, as if they had only been slow.
func (c *Crowd) Wake(members ...int) {
	c.change(members, func(t *table, i int, m *member) { m.silent = false })
}

// Fail makes members fall silent, and the others suspect it at once, as one of
// thousands would notice within a probe interval or two. Guests take them for
// dead when their suspicion has timed out.
func (c *Crowd) Fail(members ...int) {
	c.change(members, func(t *table, i int, m *member) { m.silent = true })
	c.change(members, func(t *table, i int, m *member) {
		if !m.gone() {
			t.accuse(m)
		}
	})
}

// Leave makes members leave gracefully.
func (c *Crowd) Leave(members ...int) {
	c.change(members, func(t *table, i int, m *member) {
		m.incarnation++
		m.meta = encodeMeta(c.Peer(i).Role, true)
		t.tell(nil, aliveType, m.alive())
		m.silent, m.state = true, memberlist.StateLeft
		t.tell(nil, deadType, accusation{m.incarnation, m.name, m.name})
	})
}

// Return makes members start again, at their old addresses.
func (c *Crowd) Return(members ...int) {
	c.change(members, func(t *table, i int, m *member) {
		m.meta = encodeMeta(c.Peer(i).Role, false)
		m.silent = false
		t.refute(m, m.incarnation)
	})
}

func (c *Crowd) change(members []int, f func(t *table, i int, m *member)) {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	for _, i := range members {
		f(c.table, i, c.table.crowd[i])
	}
}

// Close stops answering, without a word, and waits until all is quiet.
func (c *Crowd) Close() error {
	c.cancel()
	c.work.Wait()
	return c.closed
}
