package agents

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

func TestConnectionsAreKept(t *testing.T) {
	f := newFleet(t)
	agent := f.serve(f.agentTLS(node), frames(node, "x"))
	c := f.client(Config{})
	ask := func() {
		t.Helper()
		if _, err := c.Ask(t.Context(), node, model.Query{}, nil); err != nil {
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
			_, err := c.Ask(t.Context(), node, model.Query{}, nil)
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
		got, err := c.Ask(t.Context(), node, model.Query{}, nil)
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
	if _, err := c.Ask(t.Context(), node, model.Query{}, nil); err != nil {
		t.Fatal(err)
	}
	// The idle connection is to the right address, but was verified for node.
	f.put("node-2", agent.Listener.Addr(), roster.Alive)
	if _, err := c.Ask(t.Context(), "node-2", model.Query{}, nil); Outcome(err) != coverage.Unauthorized {
		t.Errorf("got %v, want unauthorized", err)
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

func TestCloseEndsConnections(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), frames(node, "x"))
	closed := make(chan struct{})
	c := f.client(Config{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, addr)
		return watched{raw, sync.OnceFunc(func() { close(closed) })}, err
	}})
	if _, err := c.Ask(t.Context(), node, model.Query{}, nil); err != nil {
		t.Fatal(err)
	}
	if n := gauge(t, c.metrics.connections); n != 1 {
		t.Errorf("%v connections open, want 1", n)
	}
	c.Close()
	<-closed
	if n := gauge(t, c.metrics.connections); n != 0 {
		t.Errorf("%v connections open, want none", n)
	}
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
