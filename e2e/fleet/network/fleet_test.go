package network

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// member is a real one on a host of the network.
type member struct {
	*roster.Roster
	role identity.Role
	name string
	host netip.Addr
}

// start begins a member that joins others, with LocalTiming.
func start(t *testing.T, n *Network, role identity.Role, name string, host netip.Addr, change func(*roster.Config), join ...netip.Addr) member {
	t.Helper()
	cfg := roster.Config{
		Name:    name,
		Role:    role,
		Bind:    host,
		Port:    gossipPort,
		Version: "v1.2.3",
		Label:   "network",
		Timing:  roster.LocalTiming(),
		Wrap:    n.Host(host).Gossip,
	}
	if role == identity.Agent {
		cfg.PeerPort = 9810
	}
	for _, addr := range join {
		cfg.Join = append(cfg.Join, addr.String())
	}
	if change != nil {
		change(&cfg)
	}
	logger := slog.New(slog.DiscardHandler)
	if os.Getenv("ROLLCALL_TEST_LOG") != "" {
		logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	r, err := roster.Start(t.Context(), cfg, logger.With("self", name), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Kill() })
	return member{r, role, name, host}
}

// await waits until m sees the others in a state.
func (m member) await(t *testing.T, want roster.State, others ...member) {
	t.Helper()
	deadline := time.After(patience)
	for _, other := range others {
		for {
			changed := m.Changed()
			_, state := m.Snapshot().Lookup(other.role, other.name)
			if state == want {
				break
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("to %s, %s is %s and never %s", m.name, other.name, state, want)
			}
		}
	}
}

// awaitAll waits until all see all others alive.
func awaitAll(t *testing.T, members ...member) {
	t.Helper()
	for _, m := range members {
		m.await(t, roster.Alive, members...)
	}
}

func TestPausedMemberIsDeadAndComesBack(t *testing.T) {
	n := New()
	a, b := gossipHost(1), gossipHost(2)
	seed := start(t, n, identity.Aggregator, "seed", a, nil)
	node := start(t, n, identity.Agent, "node-1", b, nil, a)
	awaitAll(t, seed, node)

	n.Pause(b)
	began := time.Now()
	seed.await(t, roster.Dead, node)
	t.Logf("dead after %v", time.Since(began))
	node.await(t, roster.Dead, seed) // it goes on, and is alone

	n.Resume(b)
	began = time.Now()
	awaitAll(t, seed, node)
	t.Logf("back after %v", time.Since(began))
}

func TestPartitionOfMembersHeals(t *testing.T) {
	n := New()
	hosts := []netip.Addr{gossipHost(1), gossipHost(2), gossipHost(3), gossipHost(4)}
	// One seed is told to join the other, and finds the nodes as they are missed.
	missing := func(c *roster.Config) {
		c.Missing = func() []string { return []string{hosts[2].String(), hosts[3].String()} }
	}
	seed1 := start(t, n, identity.Aggregator, "seed-1", hosts[0], missing, hosts[1])
	seed2 := start(t, n, identity.Aggregator, "seed-2", hosts[1], nil, hosts[0])
	node1 := start(t, n, identity.Agent, "node-1", hosts[2], nil, hosts[0], hosts[1])
	node2 := start(t, n, identity.Agent, "node-2", hosts[3], nil, hosts[0], hosts[1])
	awaitAll(t, seed1, seed2, node1, node2)

	n.Partition(seed2.host, node2.host)
	began := time.Now()
	for _, side := range [][2][]member{{{seed1, node1}, {seed2, node2}}, {{seed2, node2}, {seed1, node1}}} {
		for _, m := range side[0] {
			m.await(t, roster.Dead, side[1]...)
			m.await(t, roster.Alive, side[0]...)
		}
	}
	t.Logf("apart after %v", time.Since(began))

	n.Heal()
	began = time.Now()
	awaitAll(t, seed1, seed2, node1, node2)
	t.Logf("together after %v", time.Since(began))
}

// Whoever ends a fleet does not have to heal it first.
func TestCutMembersEndAtOnce(t *testing.T) {
	const never = time.Hour // what waits for the network ends much later
	for _, test := range []struct {
		name string
		end  func(*roster.Roster) error
	}{
		{"kill", (*roster.Roster).Kill},
		{"close", func(r *roster.Roster) error {
			// Nobody hears it say goodbye, which is no error.
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			return r.Close(ctx)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := New()
			patient := func(c *roster.Config) { c.Timing.TCPTimeout = never }
			a, b, c := gossipHost(1), gossipHost(2), gossipHost(3)
			seed := start(t, n, identity.Aggregator, "seed", a, patient)
			node1 := start(t, n, identity.Agent, "node-1", b, patient, a)
			awaitAll(t, seed, node1)
			n.Pause(a)
			n.Partition(b)
			// Its join hangs.
			node2 := start(t, n, identity.Agent, "node-2", c, patient, a)
			for _, m := range []member{node2, node1, seed} {
				if err := ended(t, test.name, begin(func() error { return test.end(m.Roster) })); err != nil {
					t.Errorf("%s of %s: %v", test.name, m.name, err)
				}
			}
		})
	}
}
