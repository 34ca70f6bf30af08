package agents

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// warnEvery is how often refused agents are logged: there may be thousands,
// asked once a slot each.
const warnEvery = time.Minute

// A Dialer opens connections to agents, and knows those that are open. It is
// safe for concurrent use.
type Dialer struct {
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	id      *identity.Source
	log     *slog.Logger
	metrics *metrics

	life  context.Context // of dials
	stop  context.CancelFunc
	dials sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conns   map[*conn]struct{} // that are open
	targets map[Target]int     // how many of them
	warned  time.Time
	skipped int // since warned
}

// NewDialer makes a dialer that shows the certificate of id. dial, if not nil,
// is used instead of a [net.Dialer]'s. The metrics are registered with reg,
// once per registry.
func NewDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error), id *identity.Source, log *slog.Logger, reg prometheus.Registerer) *Dialer {
	if dial == nil {
		dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return (&net.Dialer{KeepAliveConfig: obs.KeepAlive()}).DialContext(ctx, network, addr)
		}
	}
	d := &Dialer{dial: dial, id: id, log: log, metrics: newMetrics(reg), conns: map[*conn]struct{}{}, targets: map[Target]int{}}
	d.life, d.stop = context.WithCancel(context.Background())
	return d
}

// Close ends dials on their way and waits for them; there will be no more.
func (d *Dialer) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.dials.Wait()
}

// begin tells whether a dial may begin; it has to be done then.
func (d *Dialer) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.dials.Add(1)
	}
	return !d.closed
}

// Connect dials and shakes hands: whoever answers there must be that node's
// agent. It returns when ctx ends.
func (d *Dialer) Connect(ctx context.Context, to Target) (net.Conn, error) {
	if !d.begin() {
		return nil, net.ErrClosed
	}
	defer d.dials.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()
	c, err := d.connect(ctx, to)
	switch {
	case err == nil:
		d.metrics.connectsOK.Inc()
		return c, nil
	case identity.Unauthorized(err):
		d.metrics.connectsUnauthorized.Inc()
		d.warn(to, err)
	default:
		d.metrics.connectsFailed.Inc()
	}
	return nil, err
}

func (d *Dialer) connect(ctx context.Context, to Target) (*conn, error) {
	raw, err := d.dial(ctx, "tcp", to.At.String())
	if err != nil {
		return nil, err
	}
	secure := tls.Client(raw, d.id.ClientConfig(identity.Peer{Role: identity.Agent, Name: to.Node}))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("handshake with %v: %w", to.At, err)
	}
	c := &conn{Conn: secure, dialer: d, to: to}
	c.used.Store(time.Now().UnixNano())
	d.opened(c)
	return c, nil
}

// warn logs an agent that was refused, unless another one was just now.
func (d *Dialer) warn(to Target, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if !d.warned.IsZero() && now.Sub(d.warned) < warnEvery {
		d.skipped++
		return
	}
	d.log.Warn("agent refused", "node", to.Node, "address", to.At, "err", err, "not_logged_before", d.skipped)
	d.warned, d.skipped = now, 0
}
