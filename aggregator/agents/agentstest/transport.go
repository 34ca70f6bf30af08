package agentstest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// patience bounds what should happen at once.
const patience = 10 * time.Second

// Open makes the transport that is tested.
type Open func(agents.TransportConfig) agents.Transport

// TestTransport is what every [agents.Transport] has to pass.
func TestTransport(t *testing.T, open Open) {
	for _, tc := range []struct {
		name string
		test func(b *bench)
	}{
		{"answers", answers},
		{"status", statuses},
		{"connections are kept", kept},
		{"a body that was not read", unread},
		{"a connection that died idle", diedIdle},
		{"an agent that hangs up", hangsUp},
		{"another agent", anotherAgent},
		{"ctx ends in the dial", endsInDial},
		{"ctx ends in the handshake", endsInHandshake},
		{"ctx ends before the answer", endsBeforeAnswer},
		{"ctx ends in the answer", endsInAnswer},
		{"attempts", attempts},
		{"endless header", endlessHeader},
		{"many at a time", many},
		{"close", closes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.test(newBench(t, open, identity.Peer{Role: identity.Aggregator, Name: "aggregator-0"}))
		})
	}
	t.Run("refused certificate", func(t *testing.T) {
		refused(newBench(t, open, identity.Peer{Role: identity.Agent, Name: "node-2"}))
	})
}

func answers(b *bench) {
	_, to := b.agent(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.RequestURI != "/peer/v1/chunks?from=1&to=2" || r.Host != node {
			b.t.Errorf("asked %s %s of %s", r.Method, r.RequestURI, r.Host)
		}
		w.Header().Set("Content-Type", "text/x")
		_, _ = io.WriteString(w, "whole")
	})
	got, err := b.get(b.t.Context(), to)
	if err != nil || got.Status != http.StatusOK || got.ContentType != "text/x" || got.Length != 5 || got.body != "whole" {
		b.t.Errorf("got %+v, %v", got, err)
	}
	_, to = b.agent(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "part %d,", i)
			_ = http.NewResponseController(w).Flush()
		}
	})
	got, err = b.get(b.t.Context(), to)
	if err != nil || got.Length != -1 || got.body != "part 0,part 1,part 2," {
		b.t.Errorf("got %+v, %v", got, err)
	}
}

func statuses(b *bench) {
	for _, status := range []int{http.StatusFound, http.StatusNotFound, http.StatusServiceUnavailable} {
		asked := 0
		_, to := b.agent(func(w http.ResponseWriter, r *http.Request) {
			asked++
			http.Redirect(w, r, "/elsewhere", status)
		})
		if got, err := b.get(b.t.Context(), to); err != nil || got.Status != status || asked != 1 {
			b.t.Errorf("got %+v, %v after %d requests", got, err, asked)
		}
	}
}

func kept(b *bench) {
	_, to := b.agent(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	for range 5 {
		b.want(to, "x")
	}
	b.dialed(1, "five requests, one after the other")
}

func unread(b *bench) {
	const size = 16 << 20 // more than the kernel would buffer
	gone := make(chan struct{})
	_, to := b.agent(func(w http.ResponseWriter, r *http.Request) {
		if b.dials.Load() > 1 {
			_, _ = io.WriteString(w, "x")
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("x", size))
		<-r.Context().Done()
		close(gone)
	})
	resp, err := b.transport.Get(b.t.Context(), to, "/", "")
	if err != nil {
		b.t.Fatal(err)
	}
	_, _ = resp.Body.Read(make([]byte, 100))
	_ = resp.Body.Close()
	b.wait(gone, "the agent still has the connection")
	b.want(to, "x")
	b.dialed(2, "the first was closed")
}

func diedIdle(b *bench) {
	s, to := b.agent(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	for i := range int32(3) {
		b.want(to, "x")
		b.dialed(i+1, "each time the one before was closed")
		s.CloseClientConnections()
	}
}

// An agent that closes each connection instead of answering is not asked for ever.
func hangsUp(b *bench) {
	var requests atomic.Int32
	_, to := b.agent(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			_, _ = io.WriteString(w, "x")
			return
		}
		panic(http.ErrAbortHandler)
	})
	b.want(to, "x")
	if _, err := b.get(b.t.Context(), to); err == nil {
		b.t.Error("got an answer")
	}
	if n := requests.Load(); n > 3 {
		b.t.Errorf("it was asked %d times", n-1)
	}
	requests.Store(1)
	if _, err := b.get(b.t.Context(), to); err == nil {
		b.t.Error("got an answer")
	}
	if n := requests.Load(); n > 2 {
		b.t.Errorf("over a new connection it was asked %d times", n-1)
	}
}

// A connection belongs to one node at one address.
func anotherAgent(b *bench) {
	_, old := b.agent(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "old") })
	_, moved := b.agent(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "moved") })
	b.want(old, "old")
	b.want(moved, "moved")
	b.want(old, "old")
	b.want(moved, "moved")
	b.dialed(2, "one node at two addresses")
	_, err := b.get(b.t.Context(), agents.Target{Node: "node-2", At: old.At})
	if !identity.Unauthorized(err) {
		b.t.Errorf("another node at that address: %v", err)
	}
	b.dialed(3, "another node at one of the addresses")
}

func (b *bench) wait(done <-chan struct{}, otherwise string) {
	b.t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		b.t.Fatal(otherwise)
	}
}

func endlessHeader(b *bench) {
	_, to := b.agent(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for n := 0; err == nil && n < 64<<20; n += 100 {
			_, err = fmt.Fprintf(c, "X-%d: %s\r\n", n, strings.Repeat("x", 100))
		}
		if err == nil {
			b.t.Error("64 MB of header were taken")
		}
	})
	if got, err := b.get(b.t.Context(), to); err == nil {
		b.t.Errorf("got %+v", got)
	}
}

// Many requests at a time share two connections.
func many(b *bench) {
	var now, most atomic.Int32
	var mu sync.Mutex
	conns := map[string]bool{}
	_, to := b.agent(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		mu.Lock()
		most.Store(max(most.Load(), n))
		conns[r.RemoteAddr] = true
		mu.Unlock()
		_, _ = io.WriteString(w, "x")
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 20 {
				if got, err := b.get(b.t.Context(), to); err != nil || got.body != "x" {
					b.t.Errorf("got %+v, %v", got, err)
				}
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > 2 || len(conns) > 2 {
		b.t.Errorf("%d requests at a time, over %d connections", n, len(conns))
	}
}

func closes(b *bench) {
	closed := make(chan struct{})
	connect := b.connect
	b.connect = func(ctx context.Context, to agents.Target) (net.Conn, error) {
		c, err := connect(ctx, to)
		return watched{c, sync.OnceFunc(func() { close(closed) })}, err
	}
	_, to := b.agent(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	b.want(to, "x")
	b.transport.Close()
	b.wait(closed, "the connection is still open")
}

// watched tells when it is closed.
type watched struct {
	net.Conn
	closed func()
}

func (w watched) Close() error {
	w.closed()
	return w.Conn.Close()
}

// The alert that says why is lost if a write that follows it fails first.
func refused(b *bench) {
	_, to := b.agent(func(http.ResponseWriter, *http.Request) { b.t.Error("it was asked") })
	for range 10 {
		if _, err := b.get(b.t.Context(), to); !identity.Unauthorized(err) {
			b.t.Errorf("got %v", err)
		}
	}
}
