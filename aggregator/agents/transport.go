package agents

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"
)

// A Transport carries requests to agents, over connections that it keeps. It
// is safe for concurrent use. agentstest.TestTransport is what it has to pass.
type Transport interface {
	// Get sends a GET to the agent to, for a path with a query as it stands in a
	// URL, and returns the head of its answer, whatever the status: a redirect is
	// not followed. It returns when ctx ends, at whatever stage, and the
	// connection is closed then; so it is if the body is closed before its end.
	// A connection is used again only for that very Target. If it turns out to
	// have died idle, the request is sent once more over another one. An error
	// says what was being done, and wraps the connection's.
	Get(ctx context.Context, to Target, path, rawQuery string) (*Response, error)
	// Close closes connections that are idle. It is called after the last Get,
	// and after the last body was closed.
	Close()
}

// A Target is a node's agent and where it is.
type Target struct {
	Node string
	At   netip.AddrPort
}

// A Response is the head of an agent's answer, and its body to read.
type Response struct {
	Status      int
	ContentType string
	// Length of the body in bytes, -1 if it is not known.
	Length int64
	// Body has to be closed.
	Body io.ReadCloser
}

// A TransportConfig is what all transports need.
type TransportConfig struct {
	// Connect opens a connection over which only that target answers; see
	// [Dialer.Connect].
	Connect func(ctx context.Context, to Target) (net.Conn, error)
	// IdleTimeout is how long a connection is kept between two requests.
	IdleTimeout time.Duration
}

const (
	// perNode is how many connections there are to one node, busy or idle. Two
	// questions at a time are common (a dashboard's nodes and pods), and each
	// connection costs 30 KB here and in the agent. If there are more questions
	// they wait for one another: with connections of their own they would cost a
	// handshake each, every time, since only two would be kept.
	perNode = 2
	// writeBuffer and readBuffer are the bytes of buffers of each connection,
	// of which there are thousands: a request has 200 bytes, most answers 600,
	// and what is larger goes past them.
	writeBuffer, readBuffer = 512, 1 << 10
	// maxHeader bounds the bytes of an answer's HTTP header; an agent sends 150.
	maxHeader = 8 << 10
)
