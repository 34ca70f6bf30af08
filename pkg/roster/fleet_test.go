package roster

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet starts real members on loopback: each has an address of its own, all
// have the same port, as in a cluster.
type fleet struct {
	t    *testing.T
	net  byte // third byte of the addresses
	next atomic.Uint32
}

const port = 17946

// fleets numbers the fleets of this process.
var fleets atomic.Uint32

func newFleet(t *testing.T) *fleet {
	t.Helper()
	// By process, too, for tests that run in two at the same time.
	return &fleet{t: t, net: byte(1 + (31*os.Getpid()+int(fleets.Add(1)))%250)}
}

// address is one that no other member of the fleet has.
func (f *fleet) address() netip.Addr {
	return netip.AddrFrom4([4]byte{127, 77, f.net, byte(f.next.Add(1))})
}

type member struct {
	*Roster
	reg *prometheus.Registry
}

// addr is where to join the member.
func (m member) addr() string { return m.cfg.Bind.String() }

func (m member) count(t *testing.T, metric, label string) float64 {
	t.Helper()
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, x := range f.Metric {
			if f.GetName() == metric && x.Label[len(x.Label)-1].GetValue() == label {
				return x.Counter.GetValue() + x.Gauge.GetValue()
			}
		}
	}
	t.Fatalf("no metric %s with label %s", metric, label)
	return 0
}

// start begins a member with LocalTiming at a new address, and kills it at the
// end of the test if it still lives.
func (f *fleet) start(role identity.Role, name string, change func(*Config)) member {
	f.t.Helper()
	cfg := Config{
		Name:    name,
		Role:    role,
		Bind:    f.address(),
		Port:    port,
		Version: "v1.2.3",
		Label:   "test",
		Timing:  LocalTiming(),
	}
	if role == identity.Agent {
		cfg.PeerPort = 9810
	}
	if change != nil {
		change(&cfg)
	}
	reg := prometheus.NewRegistry()
	r, err := Start(f.t.Context(), cfg, testLog().With("self", name), reg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = r.Kill() })
	return member{r, reg}
}

// joining is a change that joins members.
func joining(members ...member) func(*Config) {
	return func(c *Config) {
		for _, m := range members {
			c.Join = append(c.Join, m.addr())
		}
	}
}

// testLog is silent unless ROLLCALL_TEST_LOG is set.
func testLog() *slog.Logger {
	if os.Getenv("ROLLCALL_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// patience is far more than anything takes, for machines that are busy.
const patience = 30 * time.Second

// await waits until the member's roster is as wanted.
func await(t *testing.T, m member, what string, ok func(*Snapshot) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		changed, s := m.Changed(), m.Snapshot()
		if ok(s) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s never saw %s, but %s", m.cfg.Name, what, describe(s))
		}
	}
}

// eventually polls, for what has no event.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func describe(s *Snapshot) string {
	text := ""
	for _, e := range s.entries {
		text += fmt.Sprintf("[%s %s %s]", e.Peer(), e.Addr, e.state)
	}
	return text
}

// awaitAll waits until all see as many alive as there are.
func awaitAll(t *testing.T, members ...member) {
	t.Helper()
	for _, m := range members {
		await(t, m, fmt.Sprintf("%d members", len(members)), func(s *Snapshot) bool { return len(s.Members()) == len(members) })
	}
}

func awaitState(t *testing.T, m, of member, want State) {
	t.Helper()
	await(t, m, of.cfg.Name+" "+want.String(), func(s *Snapshot) bool {
		_, state := s.Lookup(of.cfg.Role, of.cfg.Name)
		return state == want
	})
}

func closeGracefully(t *testing.T, m member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
