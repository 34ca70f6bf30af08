package agents

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

func TestAsk(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for _, tc := range []struct {
		name   string
		chunks []string
		known  bool
	}{
		{"chunks", []string{"one", "two", "three"}, true},
		{"large chunks", []string{big, big, big}, true},
		{"nothing now, but before", nil, true},
		{"nothing ever", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t)
			want := model.Query{Pods: true, Namespace: "a b&c", Pod: "web-0", From: 900, To: 1785}
			f.serve(f.agentTLS(node), func(w http.ResponseWriter, r *http.Request) {
				got, err := wire.ParseQuery(r.URL.Query())
				if r.URL.Path != wire.ChunksPath || got != want || err != nil {
					t.Errorf("asked %s: %+v, %v", r.URL.Path, got, err)
				}
				_ = begin(w, node, tc.chunks...).End(tc.known, nil)
			})
			got, err := f.client(Config{}).Ask(t.Context(), node, want)
			if err != nil {
				t.Fatal(err)
			}
			if got.Node != node || got.Known != tc.known || len(got.Chunks) != len(tc.chunks) {
				t.Fatalf("node %q, known %t, %d chunks; want %d", got.Node, got.Known, len(got.Chunks), len(tc.chunks))
			}
			for i, c := range got.Chunks {
				if string(c) != tc.chunks[i] {
					t.Errorf("chunk %d: %d bytes, want %d", i, len(c), len(tc.chunks[i]))
				}
			}
		})
	}
}

func TestConnectionsAreKept(t *testing.T) {
	f := newFleet(t)
	agent := f.serve(f.agentTLS(node), frames(node, "x"))
	c := f.client(Config{})
	ask := func() {
		t.Helper()
		if _, err := c.Ask(t.Context(), node, model.Query{}); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	ask()
	ask()
	if n := f.dials.Load(); n != 1 {
		t.Errorf("%d connections for three questions", n)
	}
	// One that died idle is replaced without the caller noticing.
	agent.CloseClientConnections()
	ask()
	if n := f.dials.Load(); n != 2 {
		t.Errorf("%d connections after the first was closed", n)
	}
}

func TestConnectionsPerNodeAreBounded(t *testing.T) {
	f := newFleet(t)
	answer := frames(node, "x")
	busy := make(chan struct{}, 8)
	free := make(chan struct{})
	f.serve(f.agentTLS(node), func(w http.ResponseWriter, r *http.Request) {
		busy <- struct{}{}
		<-free
		answer(w, r)
	})
	c := f.client(Config{})
	errs := make(chan error)
	const questions = 4 * perNode
	for range questions {
		go func() {
			_, err := c.Ask(t.Context(), node, model.Query{})
			errs <- err
		}()
	}
	for range perNode {
		<-busy
	}
	// Debug pages do not wait for questions, nor questions for them.
	page := make(chan error)
	go func() {
		resp, err := c.Debug(t.Context(), node, "ring", "")
		if err == nil {
			err = resp.Body.Close()
		}
		page <- err
	}()
	<-busy
	close(free)
	for range questions {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := <-page; err != nil {
		t.Error(err)
	}
	if n := f.dials.Load(); n != perNode+1 {
		t.Errorf("%d connections, want %d and one for the page", n, perNode)
	}
}

// Both places answer with the right certificate: only the roster says where
// the agent is now.
func TestAgentMoves(t *testing.T) {
	f := newFleet(t)
	config := f.agentTLS(node)
	old := f.serve(config, frames(node, "old")).Listener.Addr()
	now := f.serve(config, frames(node, "new")).Listener.Addr()
	c := f.client(Config{})
	for _, step := range []struct {
		want  string
		at    net.Addr
		dials int32
	}{
		{"old", old, 1},
		{"old", old, 1},
		{"new", now, 2},
		{"new", now, 2},
	} {
		f.put(node, step.at, roster.Alive)
		got, err := c.Ask(t.Context(), node, model.Query{})
		if err != nil || string(got.Chunks[0]) != step.want {
			t.Fatalf("got %q, %v; want %q", got.Chunks, err, step.want)
		}
		if n := f.dials.Load(); n != step.dials {
			t.Errorf("%d connections, want %d", n, step.dials)
		}
	}
}

func TestAnotherNodeTakesOverAnAddress(t *testing.T) {
	f := newFleet(t)
	agent := f.serve(f.agentTLS(node), frames(node, "x"))
	c := f.client(Config{})
	if _, err := c.Ask(t.Context(), node, model.Query{}); err != nil {
		t.Fatal(err)
	}
	// The idle connection is to the right address, but was verified for node.
	f.put("node-2", agent.Listener.Addr(), roster.Alive)
	if _, err := c.Ask(t.Context(), "node-2", model.Query{}); Outcome(err) != coverage.Unauthorized {
		t.Errorf("got %v, want unauthorized", err)
	}
}

func TestCancelHangsUp(t *testing.T) {
	for _, tc := range []struct {
		name  string
		agent func(f *fleet, asked, gone chan<- struct{})
	}{
		{"in the handshake", func(f *fleet, asked, gone chan<- struct{}) {
			f.listen(func(c net.Conn) {
				_, _ = c.Read(make([]byte, 1))
				close(asked)
				_, _ = io.Copy(io.Discard, c)
				close(gone)
			})
		}},
		{"before the answer", func(f *fleet, asked, gone chan<- struct{}) {
			f.serve(f.agentTLS(node), func(_ http.ResponseWriter, r *http.Request) {
				close(asked)
				<-r.Context().Done()
				close(gone)
			})
		}},
		{"in the answer", func(f *fleet, asked, gone chan<- struct{}) {
			f.serve(f.agentTLS(node), func(w http.ResponseWriter, r *http.Request) {
				begin(w, node, strings.Repeat("x", 64<<10))
				_ = http.NewResponseController(w).Flush()
				close(asked)
				<-r.Context().Done()
				close(gone)
			})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t)
			asked, gone := make(chan struct{}), make(chan struct{})
			tc.agent(f, asked, gone)
			c := f.client(Config{})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-asked; cancel() }()
			_, err := c.Ask(ctx, node, model.Query{})
			if Outcome(err) != coverage.Canceled {
				t.Errorf("got %v, want canceled", err)
			}
			select {
			case <-gone:
			case <-time.After(5 * time.Second):
				t.Error("the agent still has the connection")
			}
		})
	}
}

func TestDebug(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != wire.DebugPath+"pprof/heap" || r.URL.RawQuery != "debug=1" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "a page")
	})
	c := f.client(Config{})
	for _, tc := range []struct {
		name, page, query string
		status            int
		body              string
	}{
		{"a page", "pprof/heap", "debug=1", 200, "a page"},
		{"none", "rings", "", 404, "404 page not found\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.Debug(t.Context(), node, tc.page, tc.query)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != tc.status || string(body) != tc.body || err != nil {
				t.Errorf("status %d, body %q, %v", resp.StatusCode, body, err)
			}
		})
	}
	_, err := c.Debug(t.Context(), "node-2", "ring", "")
	if Outcome(err) != coverage.NotInRoster {
		t.Errorf("unknown node: %v", err)
	}
}

// The alert that says why is lost if the write that follows it fails first.
func TestRefusalIsNotABrokenPipe(t *testing.T) {
	f := newFleet(t)
	agent := f.serve(f.agentTLS(node), frames(node))
	d := &f.clientAs(identity.Peer{Role: identity.Agent, Name: "node-2"}, Config{}).dialer
	at := netip.MustParseAddrPort(agent.Listener.Addr().String())
	c, err := d.open(t.Context(), "tcp", target{node: node, addr: at.Addr(), port: at.Port()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for err == nil { // until the agent's reset has come
		_, err = c.Write([]byte("GET / HTTP/1.1\r\n"))
	}
	if !identity.Unauthorized(err) {
		t.Errorf("got %v", err)
	}
}

func TestTargetIsAHost(t *testing.T) {
	for _, addr := range []string{"10.0.0.1", "fd00::1", "::1", "fe80::1%eth0"} {
		t.Run(addr, func(t *testing.T) {
			want := target{node: node, addr: netip.MustParseAddr(addr), port: 9810}
			var got target
			transport := &http.Transport{DialTLSContext: func(_ context.Context, _, hostport string) (net.Conn, error) {
				var err error
				got, err = parseTarget(hostport)
				return nil, errors.Join(err, io.EOF)
			}}
			req := httptest.NewRequest(http.MethodGet, "https://x/", nil)
			req.URL.Host = want.host()
			if _, err := transport.RoundTrip(req); !errors.Is(err, io.EOF) || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), frames(node, "x"))
	c := f.client(Config{})
	if _, err := c.Ask(t.Context(), node, model.Query{}); err != nil {
		t.Fatal(err)
	}
	if n := gauge(t, c.metrics.connections); n != 1 {
		t.Errorf("%v connections open, want 1", n)
	}
	// The connection ends in net/http's own time.
	c.Close()
	for deadline := time.Now().Add(5 * time.Second); gauge(t, c.metrics.connections) != 0; {
		if time.Now().After(deadline) {
			t.Fatal("a connection is open after Close")
		}
	}
}

func gauge(t *testing.T, g prometheus.Gauge) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(g)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetGauge().GetValue()
}

func BenchmarkAsk(b *testing.B) {
	f := newFleet(b)
	f.serve(f.agentTLS(node), frames(node, strings.Repeat("x", 600)))
	c := f.client(Config{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Ask(b.Context(), node, model.Query{To: 900}); err != nil {
			b.Fatal(err)
		}
	}
}
