package resource

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// room is how much of a stream may be on its way, in bytes, before writes wait.
const room = 64 << 10

// A stream is one direction of a connection. As with TCP, and not with net.Pipe,
// writes do not wait for reads: TLS 1.3 writes to whoever may be writing himself.
type stream struct {
	mu     sync.Mutex
	moved  *sync.Cond
	data   []byte
	ended  bool // by the writer
	broken bool // by the reader
	// Deadlines; zero: none.
	readBy, writeBy time.Time
}

func newStream() *stream {
	s := &stream{}
	s.moved = sync.NewCond(&s.mu)
	return s
}

func (s *stream) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	s.moved.Broadcast()
}

// wake looks at the deadlines once more when t comes.
func (s *stream) wake(t time.Time) {
	if in := time.Until(t); !t.IsZero() && in > 0 {
		time.AfterFunc(in, s.moved.Broadcast)
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.broken:
			return 0, net.ErrClosed
		case passed(s.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = append(s.data[:0], s.data[n:]...)
			s.moved.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.moved.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		switch {
		case s.ended:
			return n, net.ErrClosed
		case s.broken:
			return n, syscall.EPIPE
		case passed(s.writeBy):
			return n, os.ErrDeadlineExceeded
		case len(s.data) < room:
			m := min(len(p)-n, room-len(s.data))
			s.data = append(s.data, p[n:n+m]...)
			n += m
			s.moved.Broadcast()
			continue
		}
		s.moved.Wait()
	}
	return n, nil
}

// An end is one of the two of a connection.
type end struct {
	in, out       *stream
	local, remote net.Addr
}

// connect makes a connection from a client to a server.
func connect(client, server net.Addr) (c, s net.Conn) {
	there, back := newStream(), newStream()
	return &end{back, there, client, server}, &end{there, back, server, client}
}

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }
func (e *end) LocalAddr() net.Addr         { return e.local }
func (e *end) RemoteAddr() net.Addr        { return e.remote }

func (e *end) Close() error {
	e.out.change(func() { e.out.ended = true })
	e.in.change(func() { e.in.broken = true })
	return nil
}

func (e *end) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *end) SetReadDeadline(t time.Time) error {
	e.in.change(func() { e.in.readBy = t })
	e.in.wake(t)
	return nil
}

func (e *end) SetWriteDeadline(t time.Time) error {
	e.out.change(func() { e.out.writeBy = t })
	e.out.wake(t)
	return nil
}

// A listener takes connections within the process.
type listener struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func listen(at net.Addr) *listener {
	return &listener{address: at, conns: make(chan net.Conn, 16), closed: make(chan struct{})}
}

// dial connects to whoever listens.
func (l *listener) dial(from net.Addr) net.Conn {
	client, server := connect(from, l.address)
	l.conns <- server
	return client
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return l.address }
