package agents

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
)

// HTTP is the [Transport] of net/http.
type HTTP struct {
	over *http.Transport
	// request is what all requests have in common.
	request *http.Request
}

// NewHTTP makes a transport without connections.
func NewHTTP(cfg TransportConfig) *HTTP {
	h := newHTTP(cfg)
	h.over.MaxConnsPerHost, h.over.MaxIdleConnsPerHost = perNode, perNode
	return h
}

// newHTTP is what questions and debug pages have in common.
func newHTTP(cfg TransportConfig) *HTTP {
	// HTTP/1.1 only: on the same work HTTP/2 was measured at a third more CPU
	// and twice the memory.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	over := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return connect(ctx, cfg.Connect)
		},
		Protocols:              protocols,
		DisableCompression:     true, // costs more than it saves
		MaxIdleConns:           0,    // no bound: one per node is the point
		IdleConnTimeout:        cfg.IdleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		WriteBufferSize:        writeBuffer,
		ReadBufferSize:         readBuffer,
	}
	// No User-Agent: it is as long as half of the rest.
	return &HTTP{over, &http.Request{Method: http.MethodGet, Header: http.Header{"User-Agent": nil}}}
}

// Get implements [Transport].
func (h *HTTP) Get(ctx context.Context, to Target, path, rawQuery string) (*Response, error) {
	resp, err := h.send(ctx, to, path, rawQuery) //nolint:bodyclose // it is that of the Response
	if err != nil {
		return nil, err
	}
	r := &Response{Status: resp.StatusCode, Length: resp.ContentLength, Body: resp.Body}
	if types := resp.Header["Content-Type"]; len(types) > 0 {
		r.ContentType = types[0]
	}
	return r, nil
}

// Close implements [Transport].
func (h *HTTP) Close() { h.over.CloseIdleConnections() }

// host is the target as the host of a URL: node@address:port. net/http keeps
// idle connections by host. With both in it, a connection can only be used
// again for the very node that it was verified for, and only as long as the
// roster has that node there. '@' is in no node's name.
func (t Target) host() string {
	b := make([]byte, 0, len(t.Node)+len("@255.255.255.255:65535"))
	b = append(append(b, t.Node...), '@')
	return string(t.At.AppendTo(b))
}

// A flight is a request on its way: its context, for the dial that it may
// need, and its URL.
type flight struct {
	context.Context
	to         Target
	url        url.URL
	connecting atomic.Bool // no connection yet, or none came about
	answered   atomic.Bool
}

type flightKey struct{}

// Value implements [context.Context].
func (f *flight) Value(key any) any {
	if key == (flightKey{}) {
		return f
	}
	return f.Context.Value(key)
}

var errNoFlight = errors.New("a dial without a request")

// connect dials for a request. The ctx of net/http's dials never ends, so that
// a later request may have the connection. This one ends with the request's:
// whoever does not answer within a node's timeout would collect dials, one
// socket a question. But if another connection came free and the request was
// answered over that, the dial goes on in the time that the request had, or two
// questions at a time would begin and break off a handshake again and again.
func connect(dial context.Context, connect func(context.Context, Target) (net.Conn, error)) (net.Conn, error) {
	f, ok := dial.Value(flightKey{}).(*flight)
	if !ok {
		return nil, errNoFlight
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(f.Context))
	defer cancel(nil)
	if deadline, ok := f.Deadline(); ok {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, deadline)
		defer stop()
	}
	defer context.AfterFunc(f.Context, func() {
		if !f.answered.Load() {
			cancel(f.Err())
		}
	})()
	f.connecting.Store(true)
	c, err := connect(ctx, f.to)
	f.connecting.Store(err != nil)
	return c, err
}

// send sends a request.
func (h *HTTP) send(ctx context.Context, to Target, path, rawQuery string) (*http.Response, error) {
	f := &flight{Context: ctx, to: to, url: url.URL{Scheme: "https", Host: to.host(), Path: path, RawQuery: rawQuery}}
	req := h.request.WithContext(f)
	req.URL, req.Host = &f.url, to.Node
	// The transport itself, not an http.Client, which would follow redirects.
	// A GET whose kept connection turns out to be dead is sent again by it.
	resp, err := h.over.RoundTrip(req)
	switch {
	case err == nil:
		f.answered.Store(true)
		return resp, nil
	case f.connecting.Load():
		return nil, fmt.Errorf("connect: %w", err)
	}
	return nil, fmt.Errorf("wait for the answer: %w", err)
}
