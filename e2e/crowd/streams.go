package crowd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// accept answers connections until the listener is closed.
func (c *Crowd) accept(ctx context.Context) {
	for {
		conn, err := c.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		c.work.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			defer func() { _ = conn.Close() }()
			err := c.serve(conn)
			// A guest that has given up waiting is nothing to refuse.
			var broken *net.OpError
			if err == nil || ctx.Err() != nil || errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return
			}
			c.counts.refused.Add(1)
			c.log.Debug("connection refused", "from", conn.RemoteAddr(), "to", conn.LocalAddr(), "error", err)
		})
	}
}

// serve answers one request, and closes without an answer where memberlist
// would say what it does not like.
func (c *Crowd) serve(conn net.Conn) error {
	to := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	name, ok := c.table.answering(to)
	if !ok {
		c.counts.unanswered.Add(1)
		return nil
	}
	if err := conn.SetDeadline(time.Now().Add(c.timing.TCPTimeout)); err != nil {
		return err
	}
	conn, err := c.seal.acceptLabel(conn)
	if err != nil {
		return err
	}
	kind, r, err := c.seal.openStream(conn)
	if err != nil {
		return err
	}
	switch kind {
	case pushPullType:
		states, err := readStates(kind, r)
		if err != nil {
			return err
		}
		c.counts.pushPulls.Add(1)
		// Our state as it was, then theirs, as memberlist does.
		if _, err := conn.Write(c.seal.stream(c.state())); err != nil {
			return err
		}
		c.table.merge(states)
	case pingType:
		var p ping
		if err := newDecoder(r).Decode(&p); err != nil {
			return err
		}
		c.counts.tcpPings.Add(1)
		if p.Node != "" && p.Node != name {
			return fmt.Errorf("ping for %q at the address of %q", p.Node, name)
		}
		_, err := conn.Write(c.seal.stream(encode(ackType, ack{SeqNo: p.SeqNo})))
		return err
	case userType:
		// Gossip carries membership only.
	default:
		return fmt.Errorf("stream of type %d", kind)
	}
	return nil
}

// state is the crowd's part in a push/pull.
func (c *Crowd) state() []byte {
	states := c.table.states()
	head := encode(pushPullType, pushPullHeader{Nodes: len(states)})
	return append(head, encode(pushPullType, states...)[1:]...)
}

// readStates is a guest's part.
func readStates(kind byte, r io.Reader) ([]nodeState, error) {
	if kind != pushPullType {
		return nil, fmt.Errorf("stream of type %d, not a push/pull", kind)
	}
	dec := newDecoder(r)
	var head pushPullHeader
	if err := dec.Decode(&head); err != nil {
		return nil, err
	}
	var states []nodeState
	for range head.Nodes {
		var s nodeState
		if err := dec.Decode(&s); err != nil {
			return nil, err
		}
		states = append(states, s)
	}
	return states, nil
}
