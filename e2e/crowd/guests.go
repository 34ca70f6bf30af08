package crowd

import (
	"context"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// guest is what the crowd keeps about a real member to gossip with it. It is
// under the table's lock.
type guest struct {
	queue  queue
	ping   uint32 // sequence number of the last one
	missed int    // pings in a row that were not answered
}

// retransmits is how often a member of memberlist passes on one message, and
// so how often each of them hears it: RetransmitMult 4 times the decimal
// digits of the number of members.
func retransmits(members int) int {
	return 4 * int(math.Ceil(math.Log10(float64(members+1))))
}

// pushPullEvery is memberlist's stretching of the interval: one more for each
// doubling beyond 32 members.
func pushPullEvery(interval time.Duration, members int) time.Duration {
	if members <= 32 {
		return interval
	}
	return interval * time.Duration(math.Ceil(math.Log2(float64(members))-5)+1)
}

// letter is a packet to be sent when the lock is free again.
type letter struct {
	from    netip.Addr
	to      netip.AddrPort
	message []byte
}

// gossip tells guests what is new: every member sends to GossipNodes others an
// interval, so each receives from as many.
func (c *Crowd) gossip(ctx context.Context) {
	size := c.timing.UDPBufferSize - c.seal.overhead()
	every(ctx, c.timing.GossipInterval, func() {
		c.send(func(t *table) (letters []letter) {
			for _, m := range t.guests {
				for range c.timing.GossipNodes {
					messages := m.guest.queue.next(size, t.copies)
					if len(messages) == 0 {
						break
					}
					letters = append(letters, letter{t.someone().addr.Addr(), m.addr, compound(messages)})
				}
			}
			return letters
		})
	})
}

// probe pings each guest once an interval: every member probes one other an
// interval, so each is probed by one.
func (c *Crowd) probe(ctx context.Context) {
	// The shortest that memberlist would suspect before it declares someone dead.
	patience := float64(c.timing.SuspicionMult) * max(1, math.Log10(float64(c.cfg.Members)))
	every(ctx, c.timing.ProbeInterval, func() {
		c.send(func(t *table) (letters []letter) {
			for _, m := range t.guests {
				if m.gone() {
					continue
				}
				g := m.guest
				// Two: a packet may get lost, and nobody tries TCP after it here.
				if g.missed >= 2 {
					t.accuse(m)
				}
				if float64(g.missed) > 2+patience {
					t.tell(nil, deadType, m.name, accusation{m.incarnation, m.name, t.someone().name})
					m.state, g.missed = memberlist.StateDead, 0
					continue
				}
				g.missed++ // until the ack
				c.seq++
				g.ping = c.seq
				from := t.someone()
				letters = append(letters, letter{from.addr.Addr(), m.addr, encode(pingType, ping{
					SeqNo: g.ping, Node: m.name,
					SourceAddr: from.addr.Addr().AsSlice(), SourcePort: from.addr.Port(), SourceNode: from.name,
				})})
			}
			return letters
		})
	})
}

// acked takes the answer to a ping of probe.
func (t *table) acked(seq uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.guests {
		if m.guest.ping == seq {
			t.counts.acks.Add(1)
			m.guest.missed = 0
		}
	}
}

// send collects letters under the lock and sends them without it.
func (c *Crowd) send(collect func(*table) []letter) {
	c.table.mu.Lock()
	letters := collect(c.table)
	c.table.mu.Unlock()
	for _, l := range letters {
		c.write(l)
	}
}

// visit makes a push/pull with each guest as often as each has one to expect.
func (c *Crowd) visit(ctx context.Context) {
	every(ctx, pushPullEvery(c.timing.PushPull, c.cfg.Members), func() {
		var visits []letter
		c.table.mu.Lock()
		for _, m := range c.table.guests {
			if m.state == memberlist.StateAlive {
				visits = append(visits, letter{from: c.table.someone().addr.Addr(), to: m.addr})
			}
		}
		c.table.mu.Unlock()
		for _, v := range visits {
			if err := c.pushPull(ctx, v.from, v.to); err != nil && ctx.Err() == nil {
				c.log.Debug("push/pull failed", "guest", v.to, "error", err)
			}
		}
	})
}

// pushPull exchanges all with a guest.
func (c *Crowd) pushPull(ctx context.Context, from netip.Addr, to netip.AddrPort) error {
	dialer := net.Dialer{Timeout: c.timing.TCPTimeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := dialer.DialContext(ctx, "tcp4", to.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(c.timing.TCPTimeout)); err != nil {
		return err
	}
	if err := memberlist.AddLabelHeaderToStream(conn, c.seal.label); err != nil {
		return err
	}
	if _, err := conn.Write(c.seal.stream(c.state())); err != nil {
		return err
	}
	kind, r, err := c.seal.openStream(conn)
	if err != nil {
		return err
	}
	states, err := readStates(kind, r)
	if err != nil {
		return err
	}
	c.counts.visits.Add(1)
	c.table.merge(states)
	return nil
}

// every calls f at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f()
		}
	}
}
