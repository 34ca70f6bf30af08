package crowd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// PeerPort is what agents of the crowd say they answer aggregators at, where
	// nobody says otherwise; nothing does.
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
	// Who, if not nil, are the members, in place of those two: for a crowd that
	// is the gossip of processes which are there.
	Who []Member
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
	who    []Member // as they are now; under the table's lock but for Peer
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
	if cfg.Who != nil {
		cfg.Members, cfg.Aggregators = len(cfg.Who), 0
	}
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
	if err := c.fill(); err != nil {
		return nil, errors.Join(fmt.Errorf("crowd: %w", err), c.udp.Close(), c.tcp.Close())
	}
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
func (c *Crowd) fill() error {
	c.table = &table{
		copies: retransmits(c.cfg.Members),
		counts: &c.counts,
		names:  make(map[string]*member, c.cfg.Members),
		addrs:  make(map[netip.Addr]*member, c.cfg.Members),
	}
	c.who = slices.Clone(c.cfg.Who)
	if c.who == nil {
		c.who = strangers(c.cfg.Members, c.cfg.Aggregators)
	}
	for i := range c.who {
		w := &c.who[i]
		if err := w.validate(); err != nil {
			return err
		}
		m := w.process(c.port)
		if c.table.names[m.name] != nil || c.table.addrs[w.Addr] != nil {
			return fmt.Errorf("%s at %v: that name or address is taken", m.name, w.Addr)
		}
		c.table.crowd = append(c.table.crowd, m)
		c.table.names[m.name] = m
		c.table.addrs[w.Addr] = m
	}
	return nil
}

// Peer is who member i is.
func (c *Crowd) Peer(i int) identity.Peer { return c.who[i].Peer }

// Addr is where the gossip of member i is.
func (c *Crowd) Addr(i int) netip.AddrPort {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	return netip.AddrPortFrom(c.who[i].Addr, c.port)
}

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
		m.meta = encodeMeta(&c.who[i], true)
		t.tell(nil, aliveType, m.name, m.alive())
		m.silent, m.state = true, memberlist.StateLeft
		// Guests must hear both, in this order.
		t.say(nil, deadType, m.name, accusation{m.incarnation, m.name, m.name}, false)
	})
}

// Return makes members that are gone start again, now, at their addresses. Who
// did not hear of it hears it again if it is called again.
func (c *Crowd) Return(members ...int) {
	now := time.Now()
	c.change(members, func(t *table, i int, m *member) {
		if !m.silent {
			t.refute(m, m.incarnation)
			return
		}
		c.who[i].Start = now
		again := c.who[i].process(c.port)
		// The old process stays known, so that nobody takes it for a guest.
		t.crowd[i], t.names[again.name], t.addrs[again.addr.Addr()] = again, again, again
		t.tell(nil, aliveType, again.name, again.alive())
	})
}

// Recover makes members that failed answer again, and say that they are well,
// as when a network is whole again.
func (c *Crowd) Recover(members ...int) {
	c.change(members, func(t *table, i int, m *member) {
		m.silent = false
		t.refute(m, m.incarnation)
	})
}

// Move gives a member that is gone another address, for its return. Nobody of
// the crowd may have it.
func (c *Crowd) Move(i int, addr netip.Addr) error {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	m := c.table.crowd[i]
	if !m.silent {
		return fmt.Errorf("crowd: %s is here and cannot move", m.name)
	}
	if other := c.table.addrs[addr]; other != nil && other != m {
		return fmt.Errorf("crowd: %v is the address of %s", addr, other.name)
	}
	delete(c.table.addrs, c.who[i].Addr)
	c.table.addrs[addr], c.who[i].Addr = m, addr
	return nil
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
