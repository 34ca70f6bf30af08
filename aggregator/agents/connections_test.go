package agents

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

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

func TestTargetIsAHost(t *testing.T) {
	for _, addr := range []string{"10.0.0.1:9810", "[fd00::1]:9810", "[::1]:9810", "[fe80::1%eth0]:9810"} {
		t.Run(addr, func(t *testing.T) {
			want := Target{Node: node, At: netip.MustParseAddrPort(addr)}
			var got Target
			transport := NewHTTP(TransportConfig{Connect: func(_ context.Context, to Target) (net.Conn, error) {
				got = to
				return nil, io.EOF
			}})
			if _, err := transport.Get(t.Context(), want, "/", ""); !errors.Is(err, io.EOF) || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
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
