package agents

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// past is a deadline that ends whatever is being done.
var past = time.Unix(1, 0)

// A link is one connection to an agent.
type link struct {
	net.Conn
	line    *line
	used    bool      // not for the first time
	limited bool      // it has a deadline
	since   time.Time // when it became idle
	expire  func()    // ends whatever is being done
}

// A line is all connections to one agent. It is in the map as long as any are
// open.
type line struct {
	to      Target
	open    int     // connections, dials included
	idle    []*link // the one that was used last is the last
	waiting []chan *link
}

// lines are the connections to all agents, at most perNode to each. It is safe
// for concurrent use.
type lines struct {
	cfg TransportConfig

	mu     sync.Mutex
	closed bool
	all    map[Target]*line // those with connections
}

// take returns a connection to an agent that nobody uses. If there is none, it
// opens one, or waits for one of those that there are. It returns when ctx ends.
func (s *lines) take(ctx context.Context, to Target) (*link, error) {
	s.mu.Lock()
	l := s.all[to]
	if l == nil {
		l = &line{to: to}
		s.all[to] = l
	}
	if n := len(l.idle); n > 0 {
		c := l.idle[n-1]
		l.idle = l.idle[:n-1]
		s.mu.Unlock()
		if time.Since(c.since) < s.cfg.IdleTimeout {
			return c, nil
		}
		_ = c.Close()
		return s.dial(ctx, l)
	}
	if l.open < perNode {
		l.open++
		s.mu.Unlock()
		return s.dial(ctx, l)
	}
	turn := make(chan *link, 1)
	l.waiting = append(l.waiting, turn)
	s.mu.Unlock()
	select {
	case c := <-turn:
		if c == nil {
			return s.dial(ctx, l)
		}
		return c, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(l.waiting, turn)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 { // it was this one's turn just now
		s.pass(l, <-turn)
	}
	return nil, ctx.Err()
}

// dial opens a connection, which has been counted.
func (s *lines) dial(ctx context.Context, l *line) (*link, error) {
	conn, err := s.cfg.Connect(ctx, l.to)
	if err != nil {
		s.pass(l, nil)
		return nil, err
	}
	c := &link{Conn: conn, line: l, expire: func() { _ = conn.SetDeadline(past) }}
	if w, ok := conn.(interface{ OnClose(f func()) }); ok {
		w.OnClose(func() { s.lost(c) })
	}
	return c, nil
}

// give takes a connection back, and closes it unless it can be used again.
func (s *lines) give(c *link, again bool) {
	if again {
		c.used, c.since = true, time.Now()
		s.pass(c.line, c)
		return
	}
	_ = c.Close()
	s.pass(c.line, nil)
}

// pass hands a connection, or leave to open one (nil), to who waits for it.
func (s *lines) pass(l *line, c *link) {
	s.mu.Lock()
	switch {
	case len(l.waiting) > 0 && !s.closed:
		l.waiting[0] <- c
		l.waiting = slices.Delete(l.waiting, 0, 1)
		c = nil
	case c != nil && !s.closed:
		l.idle = append(l.idle, c)
		c = nil
	default:
		s.less(l)
	}
	s.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// less counts one connection less. The caller holds s.mu.
func (s *lines) less(l *line) {
	if l.open--; l.open == 0 {
		delete(s.all, l.to)
	}
}

// lost forgets a connection that was closed while it was idle.
func (s *lines) lost(c *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(c.line.idle, c); i >= 0 {
		c.line.idle = slices.Delete(c.line.idle, i, i+1)
		s.less(c.line)
	}
}

// dropIdle closes the idle connections to an agent.
func (s *lines) dropIdle(to Target) {
	s.mu.Lock()
	var idle []*link
	if l := s.all[to]; l != nil {
		idle, l.idle = l.idle, nil
		for range idle {
			s.less(l)
		}
	}
	s.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// close closes the idle connections, and those in use once they are given back.
func (s *lines) close() {
	s.mu.Lock()
	s.closed = true
	var targets []Target
	for to := range s.all {
		targets = append(targets, to)
	}
	s.mu.Unlock()
	for _, to := range targets {
		s.dropIdle(to)
	}
}
