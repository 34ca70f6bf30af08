package virtual

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// A watcher is a real member that has joined the agents.
type watcher struct {
	*roster.Roster
	t *testing.T
}

func (f *testFleet) watch(t *testing.T, addr netip.Addr) watcher {
	t.Helper()
	r, err := roster.Start(f.ctx, roster.Config{
		Name: "test", Role: identity.Aggregator, Bind: addr, Port: 7946,
		Join: f.Seeds(), Label: f.label, KeyFile: f.keyFile, Timing: f.cfg.Timing,
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
	})
	return watcher{r, t}
}

// await waits until a node is so in the roster.
func (w watcher) await(node string, want roster.State, addr netip.Addr) roster.Member {
	w.t.Helper()
	deadline := time.NewTimer(time.Minute) // only ends a test that has failed
	defer deadline.Stop()
	for {
		changed := w.Changed()
		m, state := w.Snapshot().Lookup(identity.Agent, node)
		if state == want && (state != roster.Alive || m.Addr == addr) {
			return m
		}
		select {
		case <-changed:
		case <-deadline.C:
			w.t.Fatalf("%s is %v, %+v; want %v at %v", node, state, m, want, addr)
		}
	}
}

// What is ordered shows at the sockets, and in the roster of a real member.
func TestOrders(t *testing.T) {
	f := startFleet(t, 30, 40, 15*time.Second)
	w := f.watch(t, addrOf(40, 0))
	for _, a := range f.agents {
		if m := w.await(a.name, roster.Alive, a.addr); m.PeerPort != PeerPort {
			t.Fatalf("%s says that it answers at port %d", a.name, m.PeerPort)
		}
	}
	order := func(action string, nodes ...string) {
		t.Helper()
		if err := f.Order(f.ctx, nodes, action); err != nil {
			t.Fatalf("%s: %v", action, err)
		}
	}
	latest := latestPath(1 << 40)
	refused := func(c *client) {
		t.Helper()
		if a, err := c.ask(t.Context(), latest); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %d chunks, %v; want it refused", c.url, len(a.chunks), err)
		}
	}
	home, spare := f.cfg.Host(1), f.cfg.Spare(1)

	c := f.client(t, 1)
	c.must(latest)
	order("kill", "node-2", "node-3")
	refused(c)
	w.await("node-2", roster.Dead, home)
	w.await("node-3", roster.Dead, home)
	if s, _ := f.Status("node-2"); s.Agent != "stopped" || s.Connections != 0 {
		t.Errorf("killed: %+v", s)
	}
	order("start", "node-2", "node-3")
	w.await("node-2", roster.Alive, home)
	c.must(latest)
	if err := f.Order(f.ctx, []string{"node-2"}, "start"); err == nil {
		t.Error("it was started twice")
	}

	order("stop", "node-2")
	w.await("node-2", roster.Left, home)
	refused(c)
	order("start", "node-2")
	w.await("node-2", roster.Alive, home)

	order("move", "node-2")
	w.await("node-2", roster.Alive, spare)
	refused(c)
	f.client(t, 1).must(latest)
	order("reboot", "node-2")
	c.must(latest) // its old address is its spare one now
	w.await("node-2", roster.Alive, home)
	order("restart", "node-2")
	c.must(latest)
	w.await("node-2", roster.Alive, home)

	order("vanish", f.Nodes()[20:30]...)
	w.await("node-25", roster.Dead, netip.Addr{})
	gone := f.client(t, 24)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := gone.ask(ctx, latest); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a node that vanished: %v", err)
	}
	order("return", f.Nodes()[20:30]...)
	w.await("node-25", roster.Alive, f.cfg.Host(24))
	gone.must(latest)

	if err := f.Order(f.ctx, f.Nodes()[:1], "dance"); err == nil {
		t.Error("it dances")
	}
	if err := f.Order(f.ctx, []string{"node-41"}, "kill"); err == nil {
		t.Error("a node that is nowhere was killed")
	}
	if got, want := f.Nodes(), 40; len(got) != want || !slices.Contains(got, "node-40") {
		t.Errorf("%d nodes", len(got))
	}
}
