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
	"net/http/httputil"
	"sync"
	"syscall"
	"time"
)

// Direct is the [Transport] that speaks HTTP/1.1 itself, request by request in
// the goroutine of whoever asks. Nothing waits on a connection that is idle, and
// it has no buffers. net/http has two goroutines and buffers for each connection,
// of which there are thousands, and hands each request to one and its answer back
// by the other: nearly half of all CPU that a question to 5000 nodes took.
type Direct struct {
	lines   lines
	buffers sync.Pool // of *buffers
}

// buffers are those of a connection as long as it is in use.
type buffers struct {
	request []byte
	in      *bufio.Reader
}

// NewDirect makes a transport without connections.
func NewDirect(cfg TransportConfig) *Direct {
	d := &Direct{lines: lines{cfg: cfg, all: map[Target]*line{}}}
	d.buffers.New = func() any {
		return &buffers{make([]byte, 0, writeBuffer), bufio.NewReaderSize(nil, readBuffer)}
	}
	return d
}

// Close implements [Transport].
func (d *Direct) Close() { d.lines.close() }

// Get implements [Transport].
func (d *Direct) Get(ctx context.Context, to Target, path, rawQuery string) (*Response, error) {
	for again := false; ; again = true {
		l, err := d.lines.take(ctx, to)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", cmp.Or(ctx.Err(), err))
		}
		e := &exchange{direct: d, link: l, ctx: ctx}
		resp, err := e.begin(to, path, rawQuery)
		if err == nil {
			return resp, nil
		}
		if !l.used || again || !e.died(err) {
			return nil, fmt.Errorf("wait for the answer: %w", cmp.Or(ctx.Err(), err))
		}
		d.lines.dropIdle(to) // whatever has closed one has closed the other
	}
}

// appendRequest appends the request as it is sent.
func appendRequest(b []byte, to Target, path, rawQuery string) ([]byte, error) {
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
	resp   Response
	head   io.LimitedReader
	*buffers
	came bool // any byte of the answer
	last bool // the agent closes the connection after it
	// The body is chunked, or has left bytes still to come.
	chunked io.Reader
	left    int64
	toEnd   bool  // it ends with the connection
	err     error // sticks
}

// begin sends the request and reads the answer's head. After an error the
// exchange is over.
func (e *exchange) begin(to Target, path, rawQuery string) (*Response, error) {
	e.watch()
	e.head = io.LimitedReader{R: e.link.Conn, N: maxHeader}
	e.buffers = e.direct.buffers.Get().(*buffers)
	e.in.Reset(&e.head)
	h, err := e.answer(to, path, rawQuery)
	if err != nil {
		if e.came && e.head.N <= 0 {
			err = errHeader
		}
		e.end(false)
		return nil, err
	}
	e.head.N = math.MaxInt64
	e.last, e.left = h.last, h.length
	if h.chunked {
		e.chunked = httputil.NewChunkedReader(e.in)
	} else if h.length < 0 {
		e.toEnd, e.left = true, math.MaxInt64
	}
	e.resp = Response{Status: h.status, ContentType: h.contentType, Length: h.length, Body: e}
	return &e.resp, nil
}

// watch has whatever is being done on the connection end with ctx.
func (e *exchange) watch() {
	l, ends := e.link, e.ctx
	switch a, ok := e.ctx.(*Attempt); {
	case ok:
		ends, l.limited = a.parent, true
		_ = l.SetDeadline(a.deadline)
	case l.limited:
		l.limited = false
		_ = l.SetDeadline(time.Time{})
	}
	e.stop = context.AfterFunc(ends, l.expire)
}

func (e *exchange) answer(to Target, path, rawQuery string) (head, error) {
	var err error
	if e.request, err = appendRequest(e.request[:0], to, path, rawQuery); err != nil {
		return head{}, err
	}
	if _, err := e.link.Write(e.request); err != nil {
		return head{}, err
	}
	if _, err := e.in.Peek(1); err != nil {
		return head{}, err
	}
	e.came = true
	return readHead(e.in)
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
	n, whole, err := e.read(p)
	switch {
	case whole:
		e.end(true)
		e.err = io.EOF
	case err != nil:
		e.end(false)
		e.err = cmp.Or(e.ctx.Err(), err)
	}
	return n, e.err
}

// read reads what is there of the body, and tells whether that was all.
func (e *exchange) read(p []byte) (n int, whole bool, err error) {
	if e.chunked == nil {
		if e.left == 0 {
			return 0, true, nil
		}
		n, err = e.in.Read(p[:min(int64(len(p)), e.left)])
		e.left -= int64(n)
		whole = e.left == 0 || (e.toEnd && errors.Is(err, io.EOF))
	} else {
		n, err = e.chunked.Read(p)
		if errors.Is(err, io.EOF) {
			line, failed := readLine(e.in) // after the last chunk; agents send no trailers
			whole, err = failed == nil && len(line) == 0, cmp.Or(failed, errHead)
		}
	}
	if !whole && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, whole, err
}

// Close implements [io.Closer].
func (e *exchange) Close() error {
	if e.err == nil {
		e.end(e.chunked == nil && e.left == 0)
		e.err = net.ErrClosed
	}
	return nil
}

// end gives the connection back, to be used again if the answer was read to its
// end and nothing else came.
func (e *exchange) end(whole bool) {
	clean := whole && !e.last && e.in.Buffered() == 0
	e.in.Reset(nil)
	e.direct.buffers.Put(e.buffers)
	// If the watch has begun, the connection has a deadline in the past.
	e.direct.lines.give(e.link, e.stop() && clean)
}
