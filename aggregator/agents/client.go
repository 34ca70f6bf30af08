package agents

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

const (
	// DefaultNodeBudget bounds one node's answer, in bytes. CPU and memory of all
	// pods, of a node with 30 pods (and of a full one, with 110): 0.1 MB an hour
	// (0.3), 2.1 MB a day (7.7), with step=5m 0.9 MB (3.2); the node itself
	// 0.1 MB a day. What does not fit is a day of all pods of a full node without
	// a step, which are a million values that nobody looks at.
	DefaultNodeBudget = 4 << 20
	// DefaultIdleTimeout is how long a connection is kept between two questions:
	// nobody may ask for a night, and 5000 handshakes are 5 s of CPU. Agents that
	// left are found sooner; see [Client.KeepConnected].
	DefaultIdleTimeout = time.Hour
)

// A Roster knows where agents are. It is safe for concurrent use.
type Roster interface {
	// Lookup finds a member and whether it is here, as [roster.Snapshot.Lookup].
	Lookup(role identity.Role, name string) (roster.Member, roster.State)
}

// A RosterFunc is a Roster, mostly a look into the newest snapshot.
type RosterFunc func(role identity.Role, name string) (roster.Member, roster.State)

// Lookup calls f.
func (f RosterFunc) Lookup(role identity.Role, name string) (roster.Member, roster.State) {
	return f(role, name)
}

// A Config is what may differ between clients. Its zero value is usable.
type Config struct {
	// NodeBudget bounds the bytes of one node's answer; 0 is DefaultNodeBudget.
	NodeBudget int64
	// IdleTimeout is how long connections are kept between two questions; 0 is
	// DefaultIdleTimeout.
	IdleTimeout time.Duration
	// NetHTTP has questions carried by net/http instead of [Direct].
	NetHTTP bool
	// Dial opens a connection; nil is a net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Client asks agents, each over connections of its own. It is safe for
// concurrent use.
type Client struct {
	budget    int64
	roster    Roster
	dialer    *Dialer
	transport Transport
	chunks    encoded[model.Query]
	latest    encoded[wire.Latest]
	// debugs are for pages that take as long as a profile, 30 s: they must not
	// have one of a node's two connections.
	debugs *HTTP
	opened opened
}

// New makes a client that shows the certificate of id. The metrics are
// registered with reg, once per registry.
func New(cfg Config, r Roster, id *identity.Source, log *slog.Logger, reg prometheus.Registerer) *Client {
	c := &Client{
		budget: cmp.Or(cfg.NodeBudget, DefaultNodeBudget),
		roster: r,
		dialer: NewDialer(cfg.Dial, id, log, reg),
	}
	to := TransportConfig{Connect: c.dialer.Connect, IdleTimeout: cmp.Or(cfg.IdleTimeout, DefaultIdleTimeout)}
	c.transport = NewDirect(to)
	if cfg.NetHTTP {
		c.transport = NewHTTP(to)
	}
	c.debugs = newHTTP(to)
	c.debugs.over.DisableKeepAlives = true
	return c
}

// Ask asks a node. It returns when ctx ends, and the connection is closed
// then. take, if not nil, is told of bytes as they arrive, and says whether
// there may be more. An error is an [*Error]. Of an answer that is not whole
// nothing is returned, unless the agent itself says that it could only read a
// part of its history: then that part comes with the error.
func (c *Client) Ask(ctx context.Context, node string, q model.Query, take func(bytes int) bool) (apiv1.NodeAnswer, error) {
	answer := apiv1.NodeAnswer{Node: node}
	in, err := c.ask(ctx, node, question{
		path: wire.ChunksPath, rawQuery: c.chunks.of(q, wire.Values),
		most: c.budget, wayOut: "; ask for a larger step=, a shorter window, a namespace or fewer metrics=", take: take,
	}, func(item wire.Item) {
		switch {
		case item.Chunk != nil:
			answer.Chunks = append(answer.Chunks, item.Chunk)
		case item.Values != nil:
			answer.Binned = append(answer.Binned, apiv1.Binned{Values: item.Values, Weights: item.Weights})
		}
	})
	if in == nil {
		return apiv1.NodeAnswer{Node: node}, err
	}
	answer.Known = in.End.GetKnown()
	return answer, err
}

// encoded is a query as it stands in a URL. One question asks thousands of
// nodes the same, so the last one is kept.
type encoded[Q comparable] struct {
	last atomic.Pointer[encodedQuery[Q]]
}

type encodedQuery[Q comparable] struct {
	query Q
	raw   string
}

func (e *encoded[Q]) of(q Q, values func(Q) url.Values) string {
	last := e.last.Load()
	if last == nil || last.query != q {
		last = &encodedQuery[Q]{q, values(q).Encode()}
		e.last.Store(last)
	}
	return last.raw
}

// A question is what one node is asked.
type question struct {
	path, rawQuery string
	// most bounds the bytes of the answer; wayOut is what to do about it.
	most   int64
	wayOut string
	take   func(bytes int) bool // nil is always true
}

// ask asks a node and reads its answer; see [read].
func (c *Client) ask(ctx context.Context, node string, q question, each func(wire.Item)) (*wire.Reader, error) {
	to, err := c.locate(node)
	if err != nil {
		return nil, err
	}
	resp, err := c.transport.Get(ctx, to.Target, q.path, q.rawQuery)
	if err != nil {
		return nil, failed(ctx, to, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body := &budgeted{r: resp.Body, question: q, left: q.most}
	in, err := read(node, resp, body, each)
	c.dialer.metrics.received.Add(float64(q.most - body.left))
	if err != nil {
		return in, failed(ctx, to, fmt.Errorf("read the answer: %w", err))
	}
	return in, nil
}

// Debug gets an agent's /debug/<page>, with the query as it stands in a URL.
// The response may have any status; the caller closes its body. The body's
// size is not bounded, its time only by ctx. An error is an [*Error].
func (c *Client) Debug(ctx context.Context, node, page, rawQuery string) (*http.Response, error) {
	to, err := c.locate(node)
	if err != nil {
		return nil, err
	}
	resp, err := c.debugs.send(ctx, to.Target, wire.DebugPath+page, rawQuery)
	if err != nil {
		return nil, failed(ctx, to, err)
	}
	return resp, nil
}

// Close closes the connections that no question uses. It is called after the
// last question, and KeepConnected, have returned.
func (c *Client) Close() {
	c.dialer.Close()
	c.transport.Close()
}
