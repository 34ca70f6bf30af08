package crowd_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/e2e/crowd"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

func TestMain(m *testing.M) {
	if join := os.Getenv(measuredEnv); join != "" {
		os.Exit(measured(join))
	}
	goleak.VerifyTestMain(m)
}

// guestPort is below those that the kernel hands out, one of which is the crowd's.
const guestPort = 17947

// guests numbers the guests of this process.
var guests atomic.Uint32

// guestAddr is one that no other guest has; by process, too, for tests that run
// in two at the same time.
func guestAddr() netip.Addr {
	return netip.AddrFrom4([4]byte{127, 78, byte(1 + os.Getpid()%250), byte(guests.Add(1))})
}

// testLog is silent unless ROLLCALL_TEST_LOG is set.
func testLog() *slog.Logger {
	if os.Getenv("ROLLCALL_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start begins a crowd with LocalTiming.
func start(t *testing.T, cfg crowd.Config) *crowd.Crowd {
	t.Helper()
	cfg.Log = testLog().With("self", "crowd")
	if cfg.Timing.ProbeInterval == 0 {
		cfg.Timing = roster.LocalTiming()
	}
	c, err := crowd.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// key makes a gossip key, as file and as bytes.
func key(t *testing.T) (string, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := identitytest.WriteGossipKey(path); err != nil {
		t.Fatal(err)
	}
	keys, err := identity.GossipKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, keys[0]
}

// visitor is a real member.
type visitor struct {
	*roster.Roster
	peer identity.Peer
	reg  *prometheus.Registry
}

// join begins an agent with LocalTiming that joins the crowd, and kills it at
// the end of the test if it still lives.
func join(t *testing.T, c *crowd.Crowd, name string, change func(*roster.Config)) visitor {
	t.Helper()
	cfg := roster.Config{
		Name:     name,
		Role:     identity.Agent,
		Bind:     guestAddr(),
		Port:     guestPort,
		PeerPort: 9810,
		Version:  "v1.2.3",
		Label:    "test",
		Join:     []string{c.Seed()},
		Timing:   roster.LocalTiming(),
	}
	if change != nil {
		change(&cfg)
	}
	reg := prometheus.NewRegistry()
	r, err := roster.Start(t.Context(), cfg, testLog().With("self", name), reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Kill() })
	return visitor{r, identity.Peer{Role: cfg.Role, Name: name}, reg}
}

// failedJoins is a counter of the visitor.
func (v visitor) failedJoins(t *testing.T) float64 {
	t.Helper()
	families, err := v.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, x := range f.Metric {
			if f.GetName() == "rollcall_roster_joins_total" && x.Label[0].GetValue() == "failed" {
				return x.Counter.GetValue()
			}
		}
	}
	t.Fatal("failed joins are not counted")
	return 0
}

// patience is far more than anything takes, for machines that are busy.
const patience = 30 * time.Second

// await waits until the visitor's roster is as wanted.
func await(t *testing.T, v visitor, what string, ok func(*roster.Snapshot) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		changed, s := v.Changed(), v.Snapshot()
		if ok(s) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s never saw %s, but %d alive, dead %v, left %v", v.peer, what, len(s.Members()), s.Departed(), s.Left())
		}
	}
}

func awaitAlive(t *testing.T, v visitor, n int) {
	t.Helper()
	await(t, v, fmt.Sprintf("%d members", n), func(s *roster.Snapshot) bool { return len(s.Members()) == n })
}

func awaitState(t *testing.T, v visitor, of identity.Peer, want roster.State) {
	t.Helper()
	await(t, v, of.String()+" "+want.String(), func(s *roster.Snapshot) bool {
		_, state := s.Lookup(of.Role, of.Name)
		return state == want
	})
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

// probed waits until guests have sent so many more pings.
func probed(t *testing.T, c *crowd.Crowd, pings uint64) {
	t.Helper()
	want := c.Counts().Pings + pings
	eventually(t, fmt.Sprintf("%d more pings", pings), func() bool { return c.Counts().Pings >= want })
}

func closeGracefully(t *testing.T, v visitor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := v.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
