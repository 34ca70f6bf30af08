package virtual

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A line is the way to one agent: all its connections. It can fall silent, as
// if packets got lost, or be cut. It is safe for concurrent use.
type line struct {
	mu    sync.Mutex
	conns map[*socket]struct{}
	// silence is closed and nil again when it ends; it is nil while there is none.
	silence atomic.Pointer[chan struct{}]
}

func newLine() *line { return &line{conns: map[*socket]struct{}{}} }

// hush begins a silence, and speak ends it. What arrives meanwhile is read
// afterwards, by whoever still has the connection.
func (l *line) hush() {
	silence := make(chan struct{})
	l.silence.CompareAndSwap(nil, &silence)
}

func (l *line) speak() {
	if silence := l.silence.Swap(nil); silence != nil {
		close(*silence)
	}
}

// reset ends all connections as the kernel does for a process that was killed
// with data unread: the other side is told at once.
func (l *line) reset() {
	l.mu.Lock()
	conns := make([]*socket, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

// count is how many connections there are.
func (l *line) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// A lineListener accepts the connections of a line. In a silence the kernel
// still accepts them; then nothing comes.
type lineListener struct {
	net.Listener
	line *line
}

func (l lineListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: c, line: l.line, closed: make(chan struct{})}
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.line.conns[s] = struct{}{}
	return s, nil
}

// A socket is a connection of a line.
type socket struct {
	net.Conn
	line    *line
	readBy  atomic.Int64 // deadlines in Unix nanoseconds, 0 for none
	writeBy atomic.Int64
	closed  chan struct{}
	closing sync.Once
}

// Read returns nothing in a silence.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if waited := s.wait(&s.readBy); waited != nil {
		return 0, waited
	}
	return n, err
}

// Write waits for the end of a silence: until then nobody acknowledges it.
func (s *socket) Write(p []byte) (int, error) {
	if err := s.wait(&s.writeBy); err != nil {
		return 0, err
	}
	return s.Conn.Write(p)
}

// wait waits for the end of a silence, if there is one.
func (s *socket) wait(by *atomic.Int64) error {
	for {
		silence := s.line.silence.Load()
		if silence == nil {
			return nil
		}
		var late <-chan time.Time
		if at := by.Load(); at != 0 {
			timer := time.NewTimer(time.Until(time.Unix(0, at)))
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-*silence:
		case <-late:
			return os.ErrDeadlineExceeded
		case <-s.closed:
			return net.ErrClosed
		}
	}
}

func (s *socket) SetDeadline(t time.Time) error {
	keep(&s.readBy, t)
	keep(&s.writeBy, t)
	return s.Conn.SetDeadline(t)
}

func (s *socket) SetReadDeadline(t time.Time) error {
	keep(&s.readBy, t)
	return s.Conn.SetReadDeadline(t)
}

func (s *socket) SetWriteDeadline(t time.Time) error {
	keep(&s.writeBy, t)
	return s.Conn.SetWriteDeadline(t)
}

func keep(at *atomic.Int64, t time.Time) {
	if t.IsZero() {
		at.Store(0)
		return
	}
	at.Store(t.UnixNano())
}

func (s *socket) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.line.mu.Lock()
		defer s.line.mu.Unlock()
		delete(s.line.conns, s)
	})
	return s.Conn.Close()
}
