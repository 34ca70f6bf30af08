package gossip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/network"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// port of all members, as in a cluster; below those that the kernel hands out.
	port = 17948
	// seeds is the DNS name of the aggregators.
	seeds = "aggregators.example"
)

// Config is how a fleet is.
type Config struct {
	Agents, Aggregators int
	// First is the first of the addresses, of which every start of a member takes
	// one: a loopback address, and no other fleet's.
	First netip.Addr
	// Every is how long it takes from one member to the next at the start. Members
	// share CPUs here that they don't share in a cluster: if hundreds join in the
	// same second, they starve, and suspect each other for minutes.
	Every time.Duration
	// Timing of all members: DefaultTiming if it is zero.
	Timing roster.Timing
	// KeyFile holds the gossip keys; without it, gossip is not encrypted.
	KeyFile string
	// Log gets what members log. It may be nil.
	Log *slog.Logger
}

// A Fleet is many members. It is safe for concurrent use.
type Fleet struct {
	// Network is between all members.
	Network *network.Network
	// Traffic is what went over it.
	Traffic Traffic

	cfg         Config
	ctx         context.Context
	started     atomic.Uint32 // addresses given away
	agents      []*Member
	aggregators []*Member
}

// A Member is a name, and the process that has it now, if any.
type Member struct {
	identity.Peer
	fleet *Fleet

	mu     sync.Mutex
	roster *roster.Roster // nil while it is down
	addr   netip.Addr
}

// Start starts all members. Close must be called if there is no error; ctx
// bounds joins, as in roster.Start.
func Start(ctx context.Context, cfg Config) (*Fleet, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Timing.ProbeInterval == 0 {
		cfg.Timing = roster.DefaultTiming()
	}
	f := &Fleet{Network: network.New(), cfg: cfg, ctx: ctx}
	for i := range cfg.Aggregators {
		f.aggregators = append(f.aggregators, &Member{fleet: f, Peer: identity.Peer{Role: identity.Aggregator, Name: fmt.Sprintf("aggregator-%d", i)}})
	}
	for i := range cfg.Agents {
		f.agents = append(f.agents, &Member{fleet: f, Peer: identity.Peer{Role: identity.Agent, Name: fmt.Sprintf("node-%04d", i)}})
	}
	for _, m := range f.all() {
		if err := m.Start(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if cfg.Every > 0 {
			<-time.After(cfg.Every)
		}
	}
	return f, nil
}

// Agents are the agents, in order of their names. The slice is not to be changed.
func (f *Fleet) Agents() []*Member { return f.agents }

// Aggregators are the aggregators.
func (f *Fleet) Aggregators() []*Member { return f.aggregators }

func (f *Fleet) all() []*Member {
	return append(append([]*Member(nil), f.aggregators...), f.agents...)
}

// Close ends all members as a crash would: all leaving one another at once is of
// no interest.
func (f *Fleet) Close() error {
	all := f.all()
	errs := make([]error, len(all))
	var work sync.WaitGroup
	for i, m := range all {
		work.Go(func() { errs[i] = m.Kill() })
	}
	work.Wait()
	return errors.Join(errs...)
}

// Start starts a process with this name, at an address that nobody has had.
func (m *Member) Start() error {
	f := m.fleet
	addr := f.address()
	cfg := roster.Config{
		Name:    m.Name,
		Role:    m.Role,
		Bind:    addr,
		Port:    port,
		Version: "v1.0.0",
		Join:    []string{seeds},
		Resolve: f.resolve,
		Label:   "gossip",
		KeyFile: f.cfg.KeyFile,
		Timing:  f.cfg.Timing,
		Wrap: func(t memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
			return f.Traffic.count(f.Network.Host(addr).Gossip(t))
		},
	}
	if m.Role == identity.Agent {
		cfg.PeerPort = 9810
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.roster != nil {
		return fmt.Errorf("%v is up", m.Peer)
	}
	r, err := roster.Start(f.ctx, cfg, f.cfg.Log.With("self", m.Name), prometheus.NewRegistry())
	if err != nil {
		return fmt.Errorf("start %v: %w", m.Peer, err)
	}
	m.roster, m.addr = r, addr
	return nil
}

// Leave ends the process as SIGTERM does; ctx bounds that.
func (m *Member) Leave(ctx context.Context) error {
	if r := m.down(); r != nil {
		return r.Close(ctx)
	}
	return nil
}

// Kill ends the process without a word.
func (m *Member) Kill() error {
	if r := m.down(); r != nil {
		return r.Kill()
	}
	return nil
}

// down makes the member one that need not be found.
func (m *Member) down() *roster.Roster {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.roster
	m.roster = nil
	return r
}

// now is the process, nil while the member is down, and its address.
func (m *Member) now() (*roster.Roster, netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.roster, m.addr
}

// Addr is where the member is, or was last.
func (m *Member) Addr() netip.Addr {
	_, addr := m.now()
	return addr
}

// Snapshot is the member's roster; nil while it is down.
func (m *Member) Snapshot() *roster.Snapshot {
	if r, _ := m.now(); r != nil {
		return r.Snapshot()
	}
	return nil
}

// Finds is how many of those it has in its roster, alive and at the address
// where they are now, and how many it should have: those that are up.
func (m *Member) Finds(others []*Member) (found, up int) {
	s := m.Snapshot()
	for _, o := range others {
		r, addr := o.now()
		if r == nil {
			continue
		}
		up++
		if s == nil {
			continue
		}
		if seen, state := s.Lookup(o.Role, o.Name); state == roster.Alive && seen.Addr == addr {
			found++
		}
	}
	return found, up
}

// AllKnow tells whether each member that is up finds all that are, and of one
// that does not, how many it finds.
func (f *Fleet) AllKnow() (ok bool, who string) { return f.know(f.all()) }

// AggregatorsKnow is AllKnow of the aggregators, who ask the others: an agent
// needs to see an aggregator, and no more.
func (f *Fleet) AggregatorsKnow() (ok bool, who string) { return f.know(f.aggregators) }

func (f *Fleet) know(who []*Member) (bool, string) {
	all := f.all()
	for _, m := range who {
		if r, _ := m.now(); r == nil {
			continue
		}
		if found, up := m.Finds(all); found < up {
			return false, fmt.Sprintf("%v finds %d of %d", m.Peer, found, up)
		}
	}
	return true, ""
}

// address is one that nobody has had.
func (f *Fleet) address() netip.Addr {
	a := f.cfg.First.As4()
	n := binary.BigEndian.Uint32(a[:]) + f.started.Add(1) - 1
	binary.BigEndian.PutUint32(a[:], n)
	return netip.AddrFrom4(a)
}

// resolve is DNS: the aggregators that are up.
func (f *Fleet) resolve(context.Context, string) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, m := range f.aggregators {
		if r, addr := m.now(); r != nil {
			found = append(found, addr)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no aggregator is up")
	}
	return found, nil
}

// Stretch makes all intervals and timeouts longer.
func Stretch(t roster.Timing, factor int) roster.Timing {
	v := reflect.ValueOf(&t).Elem()
	for i := range v.NumField() {
		switch d := v.Field(i).Interface().(type) {
		case time.Duration:
			v.Field(i).SetInt(int64(d) * int64(factor))
		case []time.Duration:
			longer := make([]time.Duration, len(d))
			for i := range d {
				longer[i] = d[i] * time.Duration(factor)
			}
			v.Field(i).Set(reflect.ValueOf(longer))
		}
	}
	return t
}
