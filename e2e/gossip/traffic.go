package gossip

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// Traffic counts what all members send, each packet and each byte once. It is
// safe for concurrent use; the zero value has counted nothing.
type Traffic struct {
	// Packets are UDP, PacketBytes their content without headers.
	Packets, PacketBytes atomic.Uint64
	// Streams are TCP connections begun, StreamBytes what went over them, both ways.
	Streams, StreamBytes atomic.Uint64
}

// A Volume is a Traffic at one time.
type Volume struct{ Packets, PacketBytes, Streams, StreamBytes uint64 }

// Volume is what was counted so far.
func (t *Traffic) Volume() Volume {
	return Volume{t.Packets.Load(), t.PacketBytes.Load(), t.Streams.Load(), t.StreamBytes.Load()}
}

// Since is what was sent after before.
func (v Volume) Since(before Volume) Volume {
	return Volume{v.Packets - before.Packets, v.PacketBytes - before.PacketBytes, v.Streams - before.Streams, v.StreamBytes - before.StreamBytes}
}

func (t *Traffic) count(inner memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
	return &counted{NodeAwareTransport: inner, traffic: t}
}

// counted is a member's transport. It sees what the member sends, and of streams
// those that it begins.
type counted struct {
	memberlist.NodeAwareTransport
	traffic *Traffic
}

func (c *counted) WriteTo(b []byte, addr string) (time.Time, error) {
	return c.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (c *counted) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	c.traffic.Packets.Add(1)
	c.traffic.PacketBytes.Add(uint64(len(b)))
	return c.NodeAwareTransport.WriteToAddress(b, to)
}

func (c *counted) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return c.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (c *counted) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := c.NodeAwareTransport.DialAddressTimeout(to, timeout)
	if err != nil {
		return nil, err
	}
	c.traffic.Streams.Add(1)
	return &countedConn{Conn: conn, bytes: &c.traffic.StreamBytes}, nil
}

type countedConn struct {
	net.Conn
	bytes *atomic.Uint64
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(uint64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(uint64(n))
	return n, err
}
