package agents

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// A target is an agent and where it is.
type target struct {
	node string
	addr netip.Addr
	port uint16
}

// host is the target as the host of a URL: node@address:port. net/http keeps
// idle connections by host. With both in it, a connection can only be used
// again for the very node that it was verified for, and only as long as the
// roster has that node there. '@' is in no node's name.
func (t target) host() string {
	return t.node + "@" + t.addr.String() + ":" + strconv.Itoa(int(t.port))
}

// parseTarget is the inverse of host, as net/http gives it to a dial function
// (IPv6 addresses then have brackets around node and address).
func parseTarget(hostport string) (target, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return target{}, err
	}
	node, rest, _ := strings.Cut(host, "@")
	addr, err := netip.ParseAddr(rest)
	if err != nil {
		return target{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return target{node: node, addr: addr, port: uint16(n)}, err
}

// A flight is a request on its way, for the dial function that it may need.
type flight struct {
	ctx        context.Context
	connecting atomic.Bool // no connection yet, or none came about
}

type flightKey struct{}

// warnEvery is how often refused agents are logged: there may be thousands,
// asked once a slot each.
const warnEvery = time.Minute

// A dialer opens connections and counts them.
type dialer struct {
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	id      *identity.Source
	log     *slog.Logger
	metrics *metrics

	mu      sync.Mutex
	warned  time.Time
	skipped int // since warned
}

// connect is the transport's DialTLSContext.
func (d *dialer) connect(ctx context.Context, network, hostport string) (_ net.Conn, err error) {
	// The ctx of net/http's dials does not end with the request, so that a later
	// one may have the connection. But whoever does not answer within a node's
	// timeout would collect such dials, one socket a question.
	if f, ok := ctx.Value(flightKey{}).(*flight); ok {
		ctx = f.ctx
		f.connecting.Store(true)
		defer func() { f.connecting.Store(err != nil) }()
	}
	to, err := parseTarget(hostport)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", hostport, err)
	}
	c, err := d.open(ctx, network, to)
	switch {
	case err == nil:
		d.metrics.connectsOK.Inc()
	case identity.Unauthorized(err):
		d.metrics.connectsUnauthorized.Inc()
		d.warn(to, err)
	default:
		d.metrics.connectsFailed.Inc()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// open dials and shakes hands: whoever answers there must be that node's agent.
func (d *dialer) open(ctx context.Context, network string, to target) (*conn, error) {
	addr := netip.AddrPortFrom(to.addr, to.port).String()
	raw, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(raw, d.id.ClientConfig(identity.Peer{Role: identity.Agent, Name: to.node}))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("handshake with %s: %w", addr, err)
	}
	d.metrics.connections.Inc()
	return &conn{Conn: secure, closed: sync.OnceFunc(d.metrics.connections.Dec)}, nil
}

// warn logs an agent that was refused, unless another one was just now.
func (d *dialer) warn(to target, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if !d.warned.IsZero() && now.Sub(d.warned) < warnEvery {
		d.skipped++
		return
	}
	d.log.Warn("agent refused", "node", to.node, "address", to.addr, "err", err, "not_logged_before", d.skipped)
	d.warned, d.skipped = now, 0
}

// alertWait bounds the look for an alert after a failed write. It has come
// before the reset that made the write fail, so this is never waited for.
const alertWait = 100 * time.Millisecond

// A conn is a connection to an agent that counts itself and knows why it was
// hung up on.
type conn struct {
	*tls.Conn
	closed func()
}

// Write returns the agent's refusal instead of the broken pipe that follows
// from it: a TLS 1.3 client learns that its certificate was refused only after
// its own handshake, when it may already be writing.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		_ = c.SetReadDeadline(time.Now().Add(alertWait))
		if _, alert := c.Read(make([]byte, 1)); identity.Unauthorized(alert) {
			err = alert
		}
	}
	return n, err
}

// Close may be called more than once, and counts as one.
func (c *conn) Close() error {
	c.closed()
	return c.Conn.Close()
}
