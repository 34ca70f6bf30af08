package agents

import (
	"crypto/tls"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// alertWait bounds the look for an alert after a failed write. It has come
// before the reset that made the write fail, so this is never waited for.
const alertWait = 100 * time.Millisecond

// A conn is a connection to an agent that its dialer counts, and that knows
// why it was hung up on.
type conn struct {
	*tls.Conn
	dialer *Dialer
	to     Target
	used   atomic.Int64 // the last time, in Unix nanoseconds
	gone   bool         // from the roster, the last time; guarded by dialer.mu
	closed func()       // set by OnClose; guarded by dialer.mu
}

// OnClose has f called when the connection is closed, by whoever closes it.
func (c *conn) OnClose(f func()) {
	c.dialer.mu.Lock()
	defer c.dialer.mu.Unlock()
	c.closed = f
}

// Write returns the agent's refusal instead of the broken pipe that follows
// from it: a TLS 1.3 client learns that its certificate was refused only after
// its own handshake, when it may already be writing.
func (c *conn) Write(b []byte) (int, error) {
	c.used.Store(time.Now().UnixNano())
	n, err := c.Conn.Write(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		_ = c.SetReadDeadline(time.Now().Add(alertWait))
		if _, alert := c.Read(make([]byte, 1)); identity.Unauthorized(alert) {
			err = alert
		}
	}
	return n, err
}

// Close may be called more than once, and counts as one.
func (c *conn) Close() error {
	if closed := c.dialer.gone(c); closed != nil {
		closed()
	}
	return c.Conn.Close()
}

// opened counts a connection.
func (d *Dialer) opened(c *conn) {
	d.mu.Lock()
	d.conns[c] = struct{}{}
	d.targets[c.to]++
	d.mu.Unlock()
	d.metrics.connections.Inc()
}

// gone no longer counts it, and returns what is to be called then.
func (d *Dialer) gone(c *conn) (closed func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.conns[c]; !ok {
		return nil
	}
	delete(d.conns, c)
	if d.targets[c.to]--; d.targets[c.to] == 0 {
		delete(d.targets, c.to)
	}
	d.metrics.connections.Dec()
	return c.closed
}

// connected tells whether there is a connection to an agent.
func (d *Dialer) connected(to Target) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.targets[to] > 0
}

// sweep closes connections that are of no use any more: those to agents that
// were not here the last time and are not now, since whatever was asked over
// them has ended meanwhile, and of several to one agent those that were not
// used since then, but one.
func (d *Dialer) sweep(here func(Target) bool, since time.Time) {
	d.mu.Lock()
	last := map[Target]*conn{} // used, of several
	for c := range d.conns {
		if d.targets[c.to] > 1 && (last[c.to] == nil || last[c.to].used.Load() < c.used.Load()) {
			last[c.to] = c
		}
	}
	var useless []*conn
	for c := range d.conns {
		before := c.gone
		c.gone = !here(c.to)
		spare := last[c.to] != nil && last[c.to] != c && c.used.Load() < since.UnixNano()
		if before && c.gone || spare {
			useless = append(useless, c)
		}
	}
	d.mu.Unlock()
	for _, c := range useless {
		_ = c.Close()
	}
}

// unused are the targets to which nothing was sent since then.
func (d *Dialer) unused(since time.Time) []Target {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := map[Target]int64{}
	for c := range d.conns {
		last[c.to] = max(last[c.to], c.used.Load())
	}
	var unused []Target
	for to, at := range last {
		if at < since.UnixNano() {
			unused = append(unused, to)
		}
	}
	return unused
}
