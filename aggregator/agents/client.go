package agents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

const (
	// DefaultNodeBudget bounds one node's answer, in bytes: a day of all pods of
	// a full node is 24 MB, 15 min of them 0.2 MB, a day of the node itself
	// 60 KB.
	DefaultNodeBudget = 32 << 20
	// DefaultIdleTimeout is how long a connection is kept between two
	// questions. Someone watching asks once a slot, of 15 s to a minute: 5 min
	// are several slots, while a node that left does not hold memory for long.
	DefaultIdleTimeout = 5 * time.Minute

	// perNode is how many connections there are to one node, busy or idle. Two
	// questions at a time are common (a dashboard's nodes and pods), and each
	// connection costs 30 KB here and in the agent. If there are more questions
	// they wait for one another: with connections of their own they would cost a
	// handshake each, every time, since only two would be kept.
	perNode = 2
	// writeBuffer and readBuffer are the bytes of buffers of each connection,
	// of which there are thousands: a request has 200 bytes, most answers 600.
	// net/http's own are 4 KiB each.
	writeBuffer, readBuffer = 1 << 10, 4 << 10
	// maxHeader bounds the bytes of an answer's HTTP header; an agent sends 150.
	maxHeader = 8 << 10
	// keepAlive is how often an idle connection is probed. net/http's 15 s would
	// be 333 packets a second for 5000 nodes; questions find dead ones sooner.
	keepAlive = time.Minute
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
	// Dial opens a connection; nil is a net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Client asks agents, each over connections of its own. It is safe for
// concurrent use.
type Client struct {
	budget  int64
	roster  Roster
	dialer  dialer
	asks    *http.Transport
	debugs  *http.Transport
	metrics *metrics
}

// New makes a client that shows the certificate of id. The metrics are
// registered with reg, once per registry.
func New(cfg Config, r Roster, id *identity.Source, log *slog.Logger, reg prometheus.Registerer) *Client {
	c := &Client{
		budget:  cmp.Or(cfg.NodeBudget, DefaultNodeBudget),
		roster:  r,
		metrics: newMetrics(reg),
	}
	c.dialer = dialer{dial: cfg.Dial, id: id, log: log, metrics: c.metrics}
	if cfg.Dial == nil {
		c.dialer.dial = (&net.Dialer{KeepAlive: keepAlive}).DialContext
	}
	c.asks = c.transport()
	c.asks.MaxConnsPerHost, c.asks.MaxIdleConnsPerHost = perNode, perNode
	c.asks.IdleConnTimeout = cmp.Or(cfg.IdleTimeout, DefaultIdleTimeout)
	// A profile takes 30 s: it must not have one of a node's two connections.
	c.debugs = c.transport()
	c.debugs.DisableKeepAlives = true
	return c
}

// transport is what both kinds of requests have in common.
func (c *Client) transport() *http.Transport {
	// HTTP/1.1 only: on the same work HTTP/2 was measured at a third more CPU
	// and twice the memory.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialTLSContext:         c.dialer.connect,
		Protocols:              protocols,
		DisableCompression:     true, // costs more than it saves
		MaxIdleConns:           0,    // no bound: one per node is the point
		MaxResponseHeaderBytes: maxHeader,
		WriteBufferSize:        writeBuffer,
		ReadBufferSize:         readBuffer,
	}
}

// Ask asks a node. It returns when ctx ends, and the connection is closed
// then. take, if not nil, is told of bytes as they arrive, and says whether
// there may be more. An error is an [*Error]. Of an answer that is not whole
// nothing is returned, unless the agent itself says that it could only read a
// part of its history: then that part comes with the error.
func (c *Client) Ask(ctx context.Context, node string, q model.Query, take func(bytes int) bool) (apiv1.NodeAnswer, error) {
	resp, err := c.get(ctx, c.asks, node, wire.ChunksPath, wire.Values(q).Encode())
	if err != nil {
		return apiv1.NodeAnswer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body := &budgeted{r: resp.Body, left: c.budget, take: take}
	answer, err := read(node, resp, body)
	c.metrics.received.Add(float64(c.budget - body.left))
	if err != nil {
		return answer, failed(ctx, node, "read the answer", err)
	}
	return answer, nil
}

// Debug gets an agent's /debug/<page>, with the query as it stands in a URL.
// The response may have any status; the caller closes its body. The body's
// size is not bounded, its time only by ctx. An error is an [*Error].
func (c *Client) Debug(ctx context.Context, node, page, rawQuery string) (*http.Response, error) {
	return c.get(ctx, c.debugs, node, wire.DebugPath+page, rawQuery)
}

// Close closes the connections that no question uses. It is called after the
// last question has returned.
func (c *Client) Close() { c.asks.CloseIdleConnections() }

// get sends a request. An error is an [*Error].
func (c *Client) get(ctx context.Context, over *http.Transport, node, path, rawQuery string) (*http.Response, error) {
	to, err := c.locate(node)
	if err != nil {
		return nil, err
	}
	flight := &flight{ctx: ctx}
	req := (&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: "https", Host: to.host(), Path: path, RawQuery: rawQuery},
		Host:   node,
		Header: http.Header{},
	}).WithContext(context.WithValue(ctx, flightKey{}, flight))
	// The transport itself, not an http.Client, which would follow redirects.
	// A GET whose kept connection turns out to be dead is sent again by it.
	resp, err := over.RoundTrip(req)
	if err != nil {
		doing := "wait for the answer"
		if flight.connecting.Load() {
			doing = "connect"
		}
		return nil, failed(ctx, node, doing, err)
	}
	return resp, nil
}

// locate finds a node's agent in the roster.
func (c *Client) locate(node string) (target, error) {
	m, state := c.roster.Lookup(identity.Agent, node)
	switch state {
	case roster.Alive:
		return target{node: node, addr: m.Addr, port: m.PeerPort}, nil
	case roster.Dead:
		return target{}, &Error{node, coverage.Dead, fmt.Errorf("its agent at %v stopped answering gossip", m.Addr)}
	case roster.Left:
		return target{}, &Error{node, coverage.NotInRoster, fmt.Errorf("its agent at %v has left", m.Addr)}
	}
	return target{}, &Error{node, coverage.NotInRoster, errors.New("its agent has never been heard of")}
}
