package standin

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The endless body comes at 6.4 MB/s: a reader's limit of 16 MB is reached
// within a request timeout of several seconds, at little cost for the machine.
const (
	endlessChunk = 64 << 10
	endlessPause = 10 * time.Millisecond
)

// A faultState is the fault that is set now.
type faultState struct {
	mu     sync.Mutex
	fault  Fault
	lifted context.Context // done as soon as another fault is set
	lift   context.CancelFunc
	closed bool
}

func newFaultState() *faultState {
	s := &faultState{}
	s.set(Fault{Kind: None})
	return s
}

func (s *faultState) set(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Kind == "" {
		f.Kind = None
	}
	if s.lift != nil {
		s.lift()
	}
	s.fault = f
	s.lifted, s.lift = context.WithCancel(context.Background())
	if s.closed {
		s.lift()
	}
}

func (s *faultState) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.lift()
}

func (s *faultState) get() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// begin is the fault a request meets, and a context that is done when the
// request is, or when the fault is lifted. end must be called.
func (s *faultState) begin(request context.Context) (f Fault, ctx context.Context, end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithCancel(request)
	stop := context.AfterFunc(s.lifted, cancel)
	return s.fault, ctx, func() { stop(); cancel() }
}

// reset ends the connection with an RST, as a kubelet's host does when the
// process has gone. Over HTTP/2 only the stream is reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if secure, ok := conn.(*tls.Conn); ok {
		raw = secure.NetConn() // closing the TLS connection would say goodbye first
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // drop what is unsent and send RST
	}
	_ = raw.Close()
}

// refuse answers with a status and the text a kubelet gives with it.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, refusal(status))
}

func refusal(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "Unauthorized"
	case http.StatusForbidden:
		return "Forbidden (user=system:serviceaccount:rollcall:rollcall-agent, verb=get, resource=nodes, subresource(s)=[stats])"
	case http.StatusNotFound:
		return "404 page not found\n"
	case http.StatusMethodNotAllowed:
		return "405: Method Not Allowed"
	case http.StatusInternalServerError:
		return "Internal Error: failed to list pod stats: failed to list all container stats: rpc error: code = DeadlineExceeded desc = context deadline exceeded"
	default:
		return http.StatusText(status)
	}
}

// garble answers 200 with what could be anything but JSON.
func garble(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(bytes.Repeat([]byte("\x00\xff<html>not a summary\r\n"), 200))
}

// truncate announces the whole body, sends half and closes the connection.
func truncate(w http.ResponseWriter, body []byte) {
	announce(w, body)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// endless sends a valid beginning and then white space, until ctx is done.
func endless(ctx context.Context, w http.ResponseWriter, body []byte) {
	rc := http.NewResponseController(w)
	// A reader that has stopped reading blocks Write: nothing but a deadline
	// ends that.
	stop := context.AfterFunc(ctx, func() { _ = rc.SetWriteDeadline(time.Now()) })
	defer stop()
	w.Header().Set("Content-Type", "application/json")
	// Up to the first line's end, where the next field would begin.
	_, _ = w.Write(body[:bytes.IndexByte(body, '\n')+1])
	blanks := bytes.Repeat([]byte{' '}, endlessChunk)
	tick := time.NewTicker(endlessPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			panic(http.ErrAbortHandler) // returning would end the body as if complete
		case <-tick.C:
			if _, err := w.Write(blanks); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	}
}

// announce sets the header of a document.
func announce(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
}
