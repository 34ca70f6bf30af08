package network

import (
	"errors"
	"maps"
	"net"
	"slices"
)

// stream is a connection that Shutdown closes: memberlist would else wait for
// its deadline, and forgets to close those that it cannot label.
type stream struct {
	*conn
	gossip *gossip
}

// track closes c if it comes too late for Shutdown.
func (g *gossip) track(c *conn) (*stream, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	s := &stream{conn: c, gossip: g}
	g.streams[s] = true
	return s, nil
}

func (s *stream) Close() error {
	s.gossip.mu.Lock()
	delete(s.gossip.streams, s)
	s.gossip.mu.Unlock()
	return s.conn.Close()
}

func (g *gossip) closeStreams() {
	g.mu.Lock()
	open := slices.Collect(maps.Keys(g.streams))
	g.mu.Unlock()
	for _, s := range open {
		_ = s.Close()
	}
}
