package virtual

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

func TestMain(m *testing.M) {
	// memberlist's Shutdown does not wait for probes that are under way; they
	// end within two seconds.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// configOf is a configuration without keys, for what needs no network.
func configOf(nodes int) *Config {
	return &Config{Nodes: nodes, Pods: 30, Resolution: 15 * time.Second, History: 24 * time.Hour, Seed: 3}
}

// shortLife is how long most lives last where templates are played, in slots: a
// day of 15 s.
const shortLife = 24 * 240

// recorded is read once for all tests.
var recorded = sync.OnceValues(func() (*fullnode.Recording, error) { return fullnode.Unpack(standin.Recording()) })

// played is a cast of 100 nodes at 15 s whose templates have been played, for
// all tests.
var played = sync.OnceValues(func() (*cast, error) {
	r, err := recorded()
	if err != nil {
		return nil, err
	}
	cfg := configOf(100)
	cfg.life = shortLife
	c := newCast(cfg, r)
	return c, c.play()
})

func playedCast(t *testing.T) *cast {
	t.Helper()
	c, err := played()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// castOf is a cast that has names, and no chunks.
func castOf(t *testing.T, cfg *Config) *cast {
	t.Helper()
	r, err := recorded()
	if err != nil {
		t.Fatal(err)
	}
	return newCast(cfg, r)
}

// A testFleet is a fleet that runs, and what it takes to talk to it.
type testFleet struct {
	*Fleet
	aggregator *identity.Source
	label      string
	keyFile    string
	ctx        context.Context // of the fleet
}

// addrOf is an address of up to 250; by process, too, for tests that run in two
// at the same time.
func addrOf(third byte, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(130 + os.Getpid()%100), third, byte(i + 1)})
}

// startFleet starts a fleet on two networks of its own, 127.x.third.0/24 and the
// next.
func startFleet(t *testing.T, third byte, nodes int, resolution time.Duration) *testFleet {
	t.Helper()
	dir := t.TempDir()
	ca, err := identitytest.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	load := func(p identity.Peer) *identity.Source {
		files, err := ca.Issue(p)
		if err != nil {
			t.Fatal(err)
		}
		s, err := identity.Load(files, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	keyFile := dir + "/gossip.key"
	if err := identitytest.WriteGossipKey(keyFile); err != nil {
		t.Fatal(err)
	}
	keys, err := identity.GossipKeys(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	cfg := *configOf(nodes)
	cfg.Resolution, cfg.life = resolution, shortLife
	cfg.Host = func(i int) netip.Addr { return addrOf(third, i) }
	cfg.Spare = func(i int) netip.Addr { return addrOf(third+1, i) }
	cfg.Authority, cfg.Identity = ca, load(identity.Peer{Role: identity.Agent, Name: "virtual"})
	cfg.Label, cfg.Key, cfg.Timing = fmt.Sprint("virtual-", third), keys[0], roster.LocalTiming()
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := f.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return &testFleet{f, load(identity.Peer{Role: identity.Aggregator, Name: "test"}), cfg.Label, keyFile, ctx}
}
