package agents

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// Direct is the [Transport] that speaks HTTP/1.1 itself, request by request in
// the goroutine of whoever asks. Nothing waits on a connection that is idle, and
// it has no buffers: with thousands of connections net/http's two goroutines
// and buffers for each are most of the memory, and handing each request to one
// and its answer back by the other is more CPU than all else. Answers are parsed
// by net/http.
type Direct struct {
	lines   lines
	readers sync.Pool // of *bufio.Reader
}

// NewDirect makes a transport without connections.
func NewDirect(cfg TransportConfig) *Direct {
	d := &Direct{lines: lines{cfg: cfg, all: map[Target]*line{}}}
	d.readers.New = func() any { return bufio.NewReaderSize(nil, readBuffer) }
	return d
}

// Close implements [Transport].
func (d *Direct) Close() { d.lines.close() }

// Get implements [Transport].
func (d *Direct) Get(ctx context.Context, to Target, path, rawQuery string) (*Response, error) {
	request, err := requestOf(to, path, rawQuery)
	if err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		l, err := d.lines.take(ctx, to)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", cmp.Or(ctx.Err(), err))
		}
		e := &exchange{direct: d, link: l, ctx: ctx}
		resp, err := e.begin(request)
		if err == nil {
			return resp, nil
		}
		if !l.used || again || !e.died(err) {
			return nil, fmt.Errorf("wait for the answer: %w", cmp.Or(ctx.Err(), err))
		}
		d.lines.dropIdle(to) // whatever has closed one has closed the other
	}
}

// requestOf is the request as it is sent.
func requestOf(to Target, path, rawQuery string) ([]byte, error) {
	b := make([]byte, 0, 256)
	b = append(append(b, "GET "...), path...)
	if rawQuery != "" {
		b = append(append(b, '?'), rawQuery...)
	}
	line := len(b)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), to.Node...)
	for _, part := range [][]byte{b[len("GET "):line], b[len(b)-len(to.Node):]} {
		for _, c := range part {
			if c <= ' ' || c >= 0x7f {
				return nil, fmt.Errorf("%q of %q cannot be sent", path, to.Node)
			}
		}
	}
	return append(b, "\r\n\r\n"...), nil
}

// An exchange is one request and its answer. It is the answer's body, too.
type exchange struct {
	direct *Direct
	link   *link
	ctx    context.Context
	stop   func() bool // the watch over ctx
	head   io.LimitedReader
	in     *bufio.Reader
	body   io.ReadCloser // of the answer, to be read in full
	came   bool          // any byte of it
	err    error         // sticks
}

var errHeader = errors.New("the answer's header is too long")

// begin sends the request and reads the answer's head. After an error the
// exchange is over.
func (e *exchange) begin(request []byte) (*Response, error) {
	c := e.link.Conn
	// Whatever is being done on the connection ends with ctx.
	e.stop = context.AfterFunc(e.ctx, func() { _ = c.SetDeadline(past) })
	e.head = io.LimitedReader{R: c, N: maxHeader}
	e.in = e.direct.readers.Get().(*bufio.Reader)
	e.in.Reset(&e.head)
	resp, err := e.answer(request)
	if err != nil {
		if e.came && e.head.N <= 0 {
			err = errHeader
		}
		e.end(false)
		return nil, err
	}
	e.head.N = math.MaxInt64
	e.body = resp.Body
	r := &Response{Status: resp.StatusCode, Length: resp.ContentLength, Body: e}
	if types := resp.Header["Content-Type"]; len(types) > 0 {
		r.ContentType = types[0]
	}
	e.link.last = resp.Close
	return r, nil
}

func (e *exchange) answer(request []byte) (*http.Response, error) {
	if _, err := e.link.Write(request); err != nil {
		return nil, err
	}
	_, err := e.in.Peek(1)
	if err != nil {
		return nil, err
	}
	e.came = true
	return http.ReadResponse(e.in, nil)
}

// died tells whether the connection was closed before anything of the answer
// came, as one is that the agent has found idle for too long, or that an agent
// had which is not running any more.
func (e *exchange) died(err error) bool {
	closed := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	return closed && !e.came && e.ctx.Err() == nil
}

// Read implements [io.Reader].
func (e *exchange) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.body.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		e.end(true)
		e.err = io.EOF
	default:
		e.end(false)
		e.err = cmp.Or(e.ctx.Err(), err)
	}
	return n, cmp.Or(e.err, err)
}

// Close implements [io.Closer].
func (e *exchange) Close() error {
	if e.err == nil {
		e.end(e.body == http.NoBody)
		e.err = net.ErrClosed
	}
	return nil
}

// end gives the connection back, to be used again if the answer was read to its
// end and nothing else came.
func (e *exchange) end(whole bool) {
	clean := whole && !e.link.last && e.in.Buffered() == 0
	e.in.Reset(nil)
	e.direct.readers.Put(e.in)
	// If the watch has begun, the connection has a deadline in the past.
	e.direct.lines.give(e.link, e.stop() && clean)
}
