package crowd_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/e2e/crowd"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

func TestJoin(t *testing.T) {
	t.Parallel()
	const n = 300
	file, bytes := key(t)
	// Probes with the patience of the real thing: on a busy machine a probe of
	// LocalTiming may fail, and a member be suspected with reason.
	timing := roster.LocalTiming()
	timing.ProbeInterval, timing.ProbeTimeout = roster.DefaultTiming().ProbeInterval, roster.DefaultTiming().ProbeTimeout
	for name, sealed := range map[string]bool{"open": false, "key and label": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := crowd.Config{Members: n, Aggregators: 3, Timing: timing}
			if sealed {
				cfg.Label, cfg.Key = "test", bytes
			}
			c := start(t, cfg)
			v := join(t, c, "node-1", func(r *roster.Config) {
				r.Label, r.Timing = cfg.Label, timing
				if sealed {
					r.KeyFile = file
				}
			})
			awaitAlive(t, v, n+1)
			s := v.Snapshot()
			if got := len(s.ByRole(identity.Aggregator)); got != 3 {
				t.Errorf("%d aggregators", got)
			}
			for i := range n {
				p := c.Peer(i)
				m, state := s.Lookup(p.Role, p.Name)
				port := uint16(crowd.PeerPort)
				if p.Role == identity.Aggregator {
					port = 0
				}
				if state != roster.Alive || m.Addr != c.Addr(i).Addr() || m.PeerPort != port || m.Version != "crowd" {
					t.Fatalf("member %d is %v, %+v", i, state, m)
				}
			}
			probed(t, c, 3)
			if s := v.Snapshot(); len(s.Members()) != n+1 || len(s.Departed()) != 0 {
				t.Errorf("%d alive, dead %v", len(s.Members()), s.Departed())
			}
			counts := c.Counts()
			if counts.Acks == 0 || counts.Accused != 0 || counts.Refused != 0 || counts.Unanswered != 0 {
				t.Errorf("counts %+v", counts)
			}
			t.Logf("%+v", counts)
		})
	}
}

func TestComingAndGoing(t *testing.T) {
	t.Parallel()
	c := start(t, crowd.Config{Members: 100, Aggregators: 1, Label: "test"})
	v := join(t, c, "node-1", nil)
	awaitAlive(t, v, 101)

	began := time.Now()
	c.Fail(10, 11)
	c.Leave(20, 21)
	awaitState(t, v, c.Peer(20), roster.Left)
	awaitState(t, v, c.Peer(21), roster.Left)
	awaitState(t, v, c.Peer(10), roster.Dead)
	awaitState(t, v, c.Peer(11), roster.Dead)
	t.Logf("dead after %v", time.Since(began))

	c.Return(10, 20)
	awaitAlive(t, v, 99)
	awaitState(t, v, c.Peer(10), roster.Alive)
	awaitState(t, v, c.Peer(20), roster.Alive)

	// Who joins now hears of the dead one, and sees the same.
	w := join(t, c, "node-2", nil)
	awaitAlive(t, v, 100)
	awaitAlive(t, w, 100)
}

// Members may be given: names, addresses, ports. They may come back at another
// address, or as if only the network had been broken.
func TestGivenMembers(t *testing.T) {
	t.Parallel()
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	who := []crowd.Member{
		{Peer: identity.Peer{Role: identity.Agent, Name: "given-1"}, Addr: netip.MustParseAddr("127.79.0.1"), PeerPort: 1111, Start: began},
		{Peer: identity.Peer{Role: identity.Agent, Name: "given-2"}, Addr: netip.MustParseAddr("127.79.0.2"), PeerPort: 2222, Start: began},
		{Peer: identity.Peer{Role: identity.Aggregator, Name: "given-3"}, Addr: netip.MustParseAddr("127.79.0.3"), Start: began},
	}
	c := start(t, crowd.Config{Who: who, Label: "test"})
	v := join(t, c, "node-1", nil)
	awaitAlive(t, v, 4)
	for i, w := range who {
		m, _ := v.Snapshot().Lookup(w.Peer.Role, w.Peer.Name)
		if m.Addr != w.Addr || m.PeerPort != w.PeerPort || !m.Start.Equal(began) || c.Peer(i) != w.Peer {
			t.Errorf("member %d is %+v", i, m)
		}
	}

	c.Fail(0)
	awaitState(t, v, c.Peer(0), roster.Dead)
	c.Recover(0)
	awaitState(t, v, c.Peer(0), roster.Alive)
	if m, _ := v.Snapshot().Lookup(identity.Agent, "given-1"); !m.Start.Equal(began) {
		t.Errorf("it says that it started at %v", m.Start)
	}

	if err := c.Move(1, netip.MustParseAddr("127.79.0.9")); err == nil {
		t.Error("a member moved that is here")
	}
	c.Leave(1)
	awaitState(t, v, c.Peer(1), roster.Left)
	if err := c.Move(1, who[0].Addr); err == nil {
		t.Error("a member moved where another one is")
	}
	if err := c.Move(1, netip.MustParseAddr("127.79.0.9")); err != nil {
		t.Fatal(err)
	}
	c.Return(1)
	awaitState(t, v, c.Peer(1), roster.Alive)
	if m, _ := v.Snapshot().Lookup(identity.Agent, "given-2"); m.Addr.String() != "127.79.0.9" || !m.Start.After(began) || c.Addr(1).Addr() != m.Addr {
		t.Errorf("it is back as %+v", m)
	}
	probed(t, c, 6)
	if s := v.Snapshot(); len(s.Members()) != 4 {
		t.Errorf("alive are %v", s.Members())
	}
}

// Nobody in the crowd tells that members hang, so the guest's own probes, direct
// and indirect and over TCP, must all fail.
func TestHang(t *testing.T) {
	t.Parallel()
	c := start(t, crowd.Config{Members: 5, Label: "test"})
	v := join(t, c, "node-1", nil)
	awaitAlive(t, v, 6)
	c.Hang(1, 2)
	awaitState(t, v, c.Peer(1), roster.Dead)
	awaitState(t, v, c.Peer(2), roster.Dead)
	if n := c.Counts(); n.IndirectPings == 0 || n.Unanswered == 0 {
		t.Errorf("counts %+v", n)
	}
}

func TestRefute(t *testing.T) {
	t.Parallel()
	timing := roster.LocalTiming()
	timing.SuspicionMaxMult = 20 // 15 s, or Wake may come too late
	c := start(t, crowd.Config{Members: 3, Label: "test", Timing: timing})
	v := join(t, c, "node-1", func(r *roster.Config) { r.Timing = timing })
	awaitAlive(t, v, 4)
	c.Hang(1)
	eventually(t, "a suspicion", func() bool { return c.Counts().Accused > 0 })
	accused := c.Counts().Accused
	c.Wake(1)
	eventually(t, "a refutation", func() bool { return c.Counts().Accused > accused })
	probed(t, c, 12)
	if s := v.Snapshot(); len(s.Members()) != 4 || len(s.Departed()) != 0 {
		t.Errorf("%d alive, dead %v", len(s.Members()), s.Departed())
	}
}

func TestVisits(t *testing.T) {
	t.Parallel()
	file, bytes := key(t)
	timing := roster.LocalTiming()
	timing.PushPull = 100 * time.Millisecond
	c := start(t, crowd.Config{Members: 10, Label: "test", Key: bytes, Timing: timing})
	v := join(t, c, "node-1", func(r *roster.Config) { r.KeyFile = file })
	awaitAlive(t, v, 11)
	eventually(t, "three visits", func() bool { return c.Counts().Visits >= 3 })
}

// deaf loses what a guest sends by UDP to one member, so that others have to
// probe it.
type deaf struct {
	memberlist.NodeAwareTransport
	to string
}

func (d deaf) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if a.Addr == d.to {
		return time.Now(), nil
	}
	return d.NodeAwareTransport.WriteToAddress(b, a)
}

func (d deaf) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if a.Addr == d.to {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
	}
	return d.NodeAwareTransport.DialAddressTimeout(a, timeout)
}

func TestIndirectPings(t *testing.T) {
	t.Parallel()
	timing := roster.LocalTiming()
	timing.ProbeInterval = time.Second // for the indirect answer, too
	c := start(t, crowd.Config{Members: 2, Label: "test", Timing: timing})
	v := join(t, c, "node-1", func(r *roster.Config) {
		r.Timing = timing
		r.Wrap = func(inner memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
			return deaf{inner, c.Addr(1).String()}
		}
	})
	awaitAlive(t, v, 3)
	eventually(t, "three indirect probes", func() bool { return c.Counts().IndirectPings >= 3 })
	if n := c.Counts(); n.Accused != 0 {
		t.Errorf("counts %+v", n)
	}
}

// Guests hear of each other through the crowd, which would take until the next
// push/pull if it did not pass on what it hears.
func TestGuests(t *testing.T) {
	t.Parallel()
	file, bytes := key(t)
	c := start(t, crowd.Config{Members: 100, Aggregators: 1, Label: "test", Key: bytes})
	keyed := func(r *roster.Config) {
		r.KeyFile = file
		r.Timing.LeaveSpread = time.Second // on a busy machine the news needs longer
	}
	a, b, d := join(t, c, "node-1", keyed), join(t, c, "node-2", keyed), join(t, c, "node-3", keyed)
	for _, v := range []visitor{a, b, d} {
		awaitAlive(t, v, 103)
	}
	closeGracefully(t, b)
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitState(t, a, b.peer, roster.Left)
	awaitState(t, a, d.peer, roster.Dead)
	// At another address, accepted because the old one is dead.
	again := join(t, c, "node-3", keyed)
	awaitAlive(t, again, 102)
	awaitAlive(t, a, 102)
}

func TestNotAdmitted(t *testing.T) {
	t.Parallel()
	file, bytes := key(t)
	wrong, _ := key(t)
	c := start(t, crowd.Config{Members: 10, Label: "test", Key: bytes})
	strangers := map[string]visitor{}
	for name, change := range map[string]func(*roster.Config){
		"wrong-label": func(r *roster.Config) { r.KeyFile, r.Label = file, "other" },
		"no-label":    func(r *roster.Config) { r.KeyFile, r.Label = file, "" },
		"wrong-key":   func(r *roster.Config) { r.KeyFile = wrong },
		"no-key":      func(r *roster.Config) {},
	} {
		strangers[name] = join(t, c, name, change)
	}
	for name, v := range strangers {
		eventually(t, name+" tried twice", func() bool { return v.failedJoins(t) >= 2 })
	}
	friend := join(t, c, "friend", func(r *roster.Config) { r.KeyFile = file })
	awaitAlive(t, friend, 11)
	for name, v := range strangers {
		if len(v.Snapshot().Members()) != 1 {
			t.Errorf("%s sees %v", name, v.Snapshot().Members())
		}
	}
	if n := c.Counts(); n.Refused < 8 || n.PushPulls == 0 {
		t.Errorf("counts %+v", n)
	}

	open := start(t, crowd.Config{Members: 10, Label: "test"})
	v := join(t, open, "keyed", func(r *roster.Config) { r.KeyFile = file })
	eventually(t, "a failed join", func() bool { return v.failedJoins(t) >= 1 })
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	c := start(t, crowd.Config{Members: 1})
	for name, cfg := range map[string]crowd.Config{
		"nobody":               {},
		"too many":             {Members: 1 << 16},
		"too many aggregators": {Members: 1, Aggregators: 2},
		"bad key":              {Members: 1, Key: []byte("short")},
		"long label":           {Members: 1, Label: strings.Repeat("x", 256)},
		"taken port":           {Members: 1, Port: int(c.Addr(0).Port())},
		"no name":              {Who: []crowd.Member{{Addr: netip.MustParseAddr("127.79.0.1"), Start: time.Now()}}},
		"not this machine":     {Who: []crowd.Member{{Peer: c.Peer(0), Addr: netip.MustParseAddr("10.0.0.1"), Start: time.Now()}}},
		"no start":             {Who: []crowd.Member{{Peer: c.Peer(0), Addr: netip.MustParseAddr("127.79.0.1")}}},
		"one address": {Who: []crowd.Member{
			{Peer: identity.Peer{Role: identity.Agent, Name: "a"}, Addr: netip.MustParseAddr("127.79.0.1"), Start: time.Now()},
			{Peer: identity.Peer{Role: identity.Agent, Name: "b"}, Addr: netip.MustParseAddr("127.79.0.1"), Start: time.Now()},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if again, err := crowd.Start(t.Context(), cfg); err == nil {
				t.Error("started")
				_ = again.Close()
			}
		})
	}
}
