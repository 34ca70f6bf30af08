package crowd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// maxPacket is the largest UDP packet there is, in bytes.
const maxPacket = 64 << 10

// receive answers packets until the socket is closed.
func (c *Crowd) receive() {
	buf := make([]byte, maxPacket)
	for {
		n, control, from, err := c.udp.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || control == nil {
			continue
		}
		dst, _ := netip.AddrFromSlice(control.Dst)
		to := dst.Unmap()
		if _, ok := c.table.answering(to); !ok {
			c.counts.unanswered.Add(1)
			continue
		}
		message, err := c.seal.openPacket(buf[:n])
		if err == nil {
			err = c.handle(message, to, from.(*net.UDPAddr).AddrPort())
		}
		if err != nil {
			c.counts.refused.Add(1)
			c.log.Debug("packet refused", "from", from, "to", to, "error", err)
		}
	}
}

// handle takes one message to a member of the crowd.
func (c *Crowd) handle(b []byte, to netip.Addr, from netip.AddrPort) error {
	if len(b) == 0 {
		return errTruncated
	}
	kind, body := b[0], b[1:]
	switch kind {
	case compoundType:
		parts, err := split(body)
		for _, part := range parts {
			err = errors.Join(err, c.handle(part, to, from))
		}
		return err
	case pingType:
		p, err := decode[ping](body)
		if err != nil {
			return err
		}
		c.counts.pings.Add(1)
		// As memberlist: a ping for another name is for one who was here before.
		if name, _ := c.table.answering(to); p.Node != "" && p.Node != name {
			return fmt.Errorf("ping for %q at the address of %q", p.Node, name)
		}
		c.write(letter{to, reply(p.SourceAddr, p.SourcePort, from), encode(ackType, ack{SeqNo: p.SeqNo})})
	case indirectPingType:
		p, err := decode[indirectPing](body)
		if err != nil {
			return err
		}
		c.counts.indirectPings.Add(1)
		c.relay(p, to, from)
	case ackType:
		a, err := decode[ack](body)
		if err != nil {
			return err
		}
		c.table.acked(a.SeqNo)
	case suspectType, deadType:
		a, err := decode[accusation](body)
		if err != nil {
			return err
		}
		c.counts.gossip.Add(1)
		if kind == suspectType {
			c.table.suspect(a)
		} else {
			c.table.dead(a)
		}
	case aliveType:
		a, err := decode[alive](body)
		if err != nil {
			return err
		}
		c.counts.gossip.Add(1)
		c.table.alive(a)
	case userType, nackType:
		// Gossip carries membership only, and the crowd asks nobody to probe.
	default:
		return fmt.Errorf("message of type %d", kind)
	}
	return nil
}

// relay probes on behalf of a guest. For one of the crowd it knows the answer.
// Another guest is pinged in the name of the asking one, which so gets its
// answer at once; with the nack before it, which only says that we tried, there
// is nothing to wait for.
func (c *Crowd) relay(p indirectPing, to netip.Addr, from netip.AddrPort) {
	asking := reply(p.SourceAddr, p.SourcePort, from)
	ours, ok := c.table.answers(p.Node)
	if ours && ok {
		c.write(letter{to, asking, encode(ackType, ack{SeqNo: p.SeqNo})})
		return
	}
	if p.Nack {
		c.write(letter{to, asking, encode(nackType, nack{p.SeqNo})})
	}
	if target, valid := netip.AddrFromSlice(p.Target); valid && !ours {
		c.write(letter{to, netip.AddrPortFrom(target.Unmap(), p.Port), encode(pingType, ping{
			SeqNo: p.SeqNo, Node: p.Node,
			SourceAddr: asking.Addr().AsSlice(), SourcePort: asking.Port(), SourceNode: p.SourceNode,
		})})
	}
}

// reply is where an answer goes: where the packet says, or else to its sender.
func reply(addr []byte, port uint16, from netip.AddrPort) netip.AddrPort {
	if a, ok := netip.AddrFromSlice(addr); ok && port > 0 {
		return netip.AddrPortFrom(a.Unmap(), port)
	}
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// write sends a packet from the address of a member. Packets may get lost, so
// it may fail.
func (c *Crowd) write(l letter) {
	control := &ipv4.ControlMessage{Src: l.from.AsSlice()}
	if _, err := c.udp.WriteTo(c.seal.packet(l.message), control, net.UDPAddrFromAddrPort(l.to)); err != nil && !errors.Is(err, net.ErrClosed) {
		c.log.Debug("packet not sent", "to", l.to, "error", err)
	}
}
