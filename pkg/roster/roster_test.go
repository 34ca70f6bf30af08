package roster

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

func TestTwoMembers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	before := time.Now().Truncate(time.Second)
	// The same name: a pod may be called like a node.
	a := f.start(identity.Aggregator, "same", nil)
	b := f.start(identity.Agent, "same", joining(a))
	awaitAll(t, a, b)
	for _, m := range []member{a, b} {
		s := m.Snapshot()
		got := s.Members()
		if got[0].Peer() != (identity.Peer{Role: identity.Agent, Name: "same"}) || got[1].Role != identity.Aggregator {
			t.Fatalf("members %v", got)
		}
		agent := got[0]
		if agent.Addr != b.cfg.Bind || agent.PeerPort != 9810 || agent.Version != "v1.2.3" || agent.Start.Before(before) || agent.Start.After(time.Now()) {
			t.Errorf("agent %+v", agent)
		}
		if found, state := s.Lookup(identity.Agent, "same"); state != Alive || found != agent {
			t.Errorf("lookup: %+v, %v", found, state)
		}
		if _, state := s.Lookup(identity.Agent, "other"); state != Unknown {
			t.Errorf("lookup of nobody: %v", state)
		}
		if got := s.ByRole(identity.Agent); len(got) != 1 || got[0] != agent {
			t.Errorf("by role: %v", got)
		}
		if !m.Joined() || len(s.Departed()) != 0 {
			t.Errorf("joined %v, departed %v", m.Joined(), s.Departed())
		}
	}
	if n := b.count(t, "rollcall_roster_joins_total", "ok"); n == 0 {
		t.Error("no join counted")
	}
}

// TestComingAndGoing takes a fleet through all ways of leaving and coming back.
func TestComingAndGoing(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.start(identity.Aggregator, "aggregator-0", nil)
	b := f.start(identity.Aggregator, "aggregator-1", joining(a))
	one := f.start(identity.Agent, "node-1", joining(a, b))
	two := f.start(identity.Agent, "node-2", joining(a, b))
	three := f.start(identity.Agent, "node-3", joining(a, b))
	awaitAll(t, a, b, one, two, three)

	closeGracefully(t, one)
	closeGracefully(t, one) // does nothing
	killed := time.Now()
	if err := errors.Join(two.Kill(), two.Kill()); err != nil {
		t.Fatal(err)
	}
	for _, m := range []member{a, b, three} {
		awaitState(t, m, one, Left)
		awaitState(t, m, two, Dead)
	}
	t.Logf("dead after %v", time.Since(killed))
	s := a.Snapshot()
	if gone := s.Departed(); len(gone) != 1 || gone[0].Name != "node-2" || gone[0].At.Before(killed) {
		t.Errorf("departed: %v", gone)
	}
	if left := s.Left(); len(left) != 1 || left[0].Name != "node-1" {
		t.Errorf("left: %v", left)
	}
	if n := len(s.Members()); n != 3 {
		t.Errorf("%d members", n)
	}

	// Both names come back from other addresses, and node-3 so fast that it is
	// not yet dead.
	if err := three.Kill(); err != nil {
		t.Fatal(err)
	}
	back := []member{
		f.start(identity.Agent, "node-1", joining(a, b)),
		f.start(identity.Agent, "node-2", joining(a, b)),
		f.start(identity.Agent, "node-3", joining(a, b)),
	}
	for _, m := range []member{a, b} {
		for _, n := range back {
			await(t, m, n.cfg.Name+" at its new address", func(s *Snapshot) bool {
				found, state := s.Lookup(identity.Agent, n.cfg.Name)
				return state == Alive && found.Addr == n.cfg.Bind
			})
		}
		if gone := m.Snapshot().Departed(); len(gone) != 0 {
			t.Errorf("still departed: %v", gone)
		}
	}
}

func TestRestartAtTheSameAddress(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.start(identity.Aggregator, "aggregator-0", nil)
	b := f.start(identity.Agent, "node-1", joining(a))
	awaitAll(t, a, b)
	again := func(version string) {
		b = f.start(identity.Agent, "node-1", func(c *Config) {
			joining(a)(c)
			c.Bind, c.Version = b.cfg.Bind, version
		})
		await(t, a, version, func(s *Snapshot) bool {
			found, state := s.Lookup(identity.Agent, "node-1")
			return state == Alive && found.Version == version
		})
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	again("after-a-crash")
	closeGracefully(t, b)
	awaitState(t, a, b, Left)
	again("after-a-leave")
}

func TestNotAdmitted(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	dir := t.TempDir()
	key, wrong := filepath.Join(dir, "key"), filepath.Join(dir, "wrong")
	if err := errors.Join(identitytest.WriteGossipKey(key), identitytest.WriteGossipKey(wrong)); err != nil {
		t.Fatal(err)
	}
	a := f.start(identity.Aggregator, "aggregator-0", func(c *Config) { c.KeyFile = key })
	intruders := map[string]member{}
	for name, change := range map[string]func(*Config){
		"wrong-label": func(c *Config) { c.KeyFile, c.Label = key, "other" },
		"no-label":    func(c *Config) { c.KeyFile, c.Label = key, "" },
		"wrong-key":   func(c *Config) { c.KeyFile = wrong },
		"no-key":      func(c *Config) {},
	} {
		intruders[name] = f.start(identity.Agent, name, func(c *Config) { joining(a)(c); change(c) })
	}
	for name, m := range intruders {
		eventually(t, name+" tried twice", func() bool { return m.count(t, "rollcall_roster_joins_total", "failed") >= 2 })
	}
	friend := f.start(identity.Agent, "friend", func(c *Config) { joining(a)(c); c.KeyFile = key })
	awaitAll(t, a, friend)
	for name, m := range intruders {
		if m.Joined() || len(m.Snapshot().Members()) != 1 {
			t.Errorf("%s sees %s", name, describe(m.Snapshot()))
		}
		if _, state := a.Snapshot().Lookup(identity.Agent, name); state != Unknown {
			t.Errorf("%s is %s", name, state)
		}
	}
	for _, reason := range []string{wrongLabel, noKey} {
		if a.count(t, "rollcall_roster_refused_total", reason) == 0 {
			t.Errorf("no message counted as %s", reason)
		}
	}
}

// Two processes with one name are a mistake, of which the one notices that is
// no longer believed in.
func TestTwoWithOneName(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.start(identity.Aggregator, "aggregator-0", nil)
	first := f.start(identity.Agent, "node-1", joining(a))
	awaitAll(t, a, first)
	second := f.start(identity.Agent, "node-1", joining(a))
	await(t, a, "the second", func(s *Snapshot) bool {
		found, state := s.Lookup(identity.Agent, "node-1")
		return state == Alive && found.Addr == second.cfg.Bind && len(s.Members()) == 2
	})
	eventually(t, "the first notices", func() bool { return first.count(t, "rollcall_roster_refused_total", conflict) > 0 })
	if n := second.count(t, "rollcall_roster_refused_total", conflict); n != 0 {
		t.Errorf("the second noticed %v", n)
	}
}

// A killed member that starts again is found at once: nobody waits until its
// death is noticed, which here is never.
func TestKilledIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	never := func(c *Config) {
		c.Timing.ProbeInterval, c.Timing.Rejoin, c.Timing.RejoinAfter = time.Hour, nil, time.Hour
	}
	a := f.start(identity.Aggregator, "aggregator-0", never)
	b := f.start(identity.Agent, "node-1", func(c *Config) { joining(a)(c); never(c) })
	awaitAll(t, a, b)
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	again := f.start(identity.Agent, "node-1", func(c *Config) { joining(a)(c); never(c) })
	await(t, a, "the new one", func(s *Snapshot) bool {
		found, state := s.Lookup(identity.Agent, "node-1")
		return state == Alive && found.Addr == again.cfg.Bind
	})
}

// All aggregators are killed and start again where they were, before anyone has
// noticed: whoever probes one is joined by it, and tells of all.
func TestKilledAggregatorFindsItsAgents(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	patient := func(c *Config) { // nobody is declared dead, and nobody joins again
		c.Timing.SuspicionMult, c.Timing.Rejoin, c.Timing.RejoinAfter, c.Timing.PushPull = 1000, nil, time.Hour, time.Hour
	}
	a := f.start(identity.Aggregator, "aggregator-0", patient)
	var agents []member
	for _, name := range []string{"node-1", "node-2", "node-3"} {
		agents = append(agents, f.start(identity.Agent, name, func(c *Config) { joining(a)(c); patient(c) }))
	}
	awaitAll(t, append(agents, a)...)
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	again := f.start(identity.Aggregator, "aggregator-0", func(c *Config) { patient(c); c.Bind = a.cfg.Bind })
	awaitAll(t, append(agents, again)...)
}

func TestJoinByName(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.start(identity.Aggregator, "aggregator-0", nil)
	var asked atomic.Int32
	failed := make(chan struct{})
	b := f.start(identity.Agent, "node-1", func(c *Config) {
		c.Join = []string{"aggregators.example"}
		own := c.Bind
		c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
			if host != "aggregators.example" {
				t.Errorf("asked for %s", host)
			}
			switch asked.Add(1) {
			case 1:
				return nil, errors.New("no such host")
			case 2:
				<-failed
			}
			return []netip.Addr{own, a.cfg.Bind}, nil
		}
	})
	eventually(t, "the second lookup", func() bool { return asked.Load() == 2 })
	if b.Joined() {
		t.Error("joined before there was an address")
	}
	close(failed)
	awaitAll(t, a, b)
	if !b.Joined() || b.count(t, "rollcall_roster_joins_total", "unresolved") != 1 {
		t.Error("not joined")
	}
}

// split is a transport that loses everything between the two sides of a
// partition.
type split struct {
	memberlist.NodeAwareTransport
	cut *atomic.Bool
	far func(host string) bool
}

func (s *split) lost(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	return s.cut.Load() && s.far(host)
}

func (s *split) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if s.lost(a.Addr) {
		return time.Now(), nil
	}
	return s.NodeAwareTransport.WriteToAddress(b, a)
}

func (s *split) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if s.lost(a.Addr) {
		return nil, errors.New("partitioned")
	}
	return s.NodeAwareTransport.DialAddressTimeout(a, timeout)
}

func TestPartitionHealsThroughMissing(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var cut atomic.Bool
	// Nobody but the aggregator's Missing can heal: the dead get no gossip, and
	// agents don't join again.
	hopeless := func(c *Config, far func(string) bool) {
		c.Timing.GossipToTheDead = time.Nanosecond
		c.Timing.Rejoin, c.Timing.RejoinAfter = nil, time.Hour
		c.Wrap = func(t memberlist.NodeAwareTransport) memberlist.NodeAwareTransport { return &split{t, &cut, far} }
	}
	var agents []netip.Addr
	a := f.start(identity.Aggregator, "aggregator-0", func(c *Config) {
		self := c.Bind.String()
		hopeless(c, func(host string) bool { return host != self })
		c.Missing = func() []string {
			// In a cluster: Nodes without a member. The known ones are left out by
			// the joiner.
			var missing []string
			for _, addr := range agents {
				missing = append(missing, addr.String())
			}
			return missing
		}
		agents = []netip.Addr{f.address(), f.address()}
	})
	agent := func(i int) member {
		return f.start(identity.Agent, "node-"+string(rune('1'+i)), func(c *Config) {
			joining(a)(c)
			hopeless(c, func(host string) bool { return host == a.addr() })
			c.Bind = agents[i]
		})
	}
	b, c := agent(0), agent(1)
	awaitAll(t, a, b, c)

	cut.Store(true)
	awaitState(t, a, b, Dead)
	awaitState(t, a, c, Dead)
	awaitState(t, b, a, Dead)
	awaitState(t, c, a, Dead)
	if _, state := b.Snapshot().Lookup(identity.Agent, "node-2"); state != Alive {
		t.Errorf("the agents lost each other: %s", describe(b.Snapshot()))
	}
	cut.Store(false)
	awaitAll(t, a, b, c)
}

func TestCloseIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.start(identity.Aggregator, "aggregator-0", nil)
	b := f.start(identity.Agent, "node-1", func(c *Config) { joining(a)(c); c.Timing.LeaveSpread = time.Hour })
	awaitAll(t, a, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Not an hour, and no error: that some were not told is no failure.
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.start(identity.Aggregator, "aggregator-0", nil)
	cfg := a.cfg
	cfg.Name = "aggregator-1"
	if _, err := Start(t.Context(), cfg, testLog(), prometheus.NewRegistry()); err == nil {
		t.Error("took a port that is taken")
	}
	cfg.Bind, cfg.KeyFile = f.address(), filepath.Join(t.TempDir(), "none")
	if _, err := Start(t.Context(), cfg, testLog(), prometheus.NewRegistry()); err == nil {
		t.Error("started without its keys")
	}
	if _, err := Start(t.Context(), Config{}, testLog(), prometheus.NewRegistry()); err == nil {
		t.Error("started with nothing")
	}
}
