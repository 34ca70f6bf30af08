package roster

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// table takes memberlist's events and makes snapshots of them. Events come
// under memberlist's own lock, a thousand at once when a fleet starts, so each
// only copies one member; snapshots are made by publish, in its own time.
type table struct {
	self    identity.Peer
	metrics *metrics
	met     atomic.Bool   // any other member, ever
	dirty   chan struct{} // holds one token if something has changed
	current atomic.Pointer[Snapshot]

	mu      sync.Mutex
	entries []*entry // by name and role
}

func newTable(self identity.Peer, m *metrics) *table {
	t := &table{self: self, metrics: m, dirty: make(chan struct{}, 1)}
	t.current.Store(&Snapshot{next: make(chan struct{})})
	return t
}

// NotifyJoin is called for this process, too.
func (t *table) NotifyJoin(n *memberlist.Node) { t.put(n, "join", Alive) }

// NotifyUpdate comes when the meta has changed: a restart that nobody noticed,
// or the announcement of a leave.
func (t *table) NotifyUpdate(n *memberlist.Node) { t.put(n, "update", Alive) }

// NotifyLeave comes for a death as for a leave, and the node's state is not
// filled in; only one that leaves has announced it.
func (t *table) NotifyLeave(n *memberlist.Node) {
	m, err := decodeMeta(n.Meta)
	if err == nil && m.leaving {
		t.put(n, "leave", Left)
		return
	}
	t.put(n, "dead", Dead)
}

func (t *table) put(n *memberlist.Node, event string, state State) {
	e, err := entryOf(n)
	if err != nil {
		return // NotifyAlive has refused it before
	}
	e.state = state
	if state != Alive {
		e.at = time.Now()
	}
	t.metrics.events.WithLabelValues(event).Inc()
	if e.Peer() != t.self {
		t.met.Store(true)
	}
	t.mu.Lock()
	i, found := slices.BinarySearchFunc(t.entries, e.Peer(), compareEntry)
	if found {
		t.entries[i] = e
	} else {
		t.entries = slices.Insert(t.entries, i, e)
	}
	t.mu.Unlock()
	select {
	case t.dirty <- struct{}{}:
	default:
	}
}

// entryOf copies all that is needed of a node, which stays memberlist's.
func entryOf(n *memberlist.Node) (*entry, error) {
	role, name := splitGossipName(n.Name)
	m, err := decodeMeta(n.Meta)
	if err != nil {
		return nil, err
	}
	addr, _ := netip.AddrFromSlice(n.Addr)
	addr = addr.Unmap()
	return &entry{
		Member: Member{
			Name:     name,
			Role:     role,
			Addr:     addr,
			PeerPort: m.peerPort,
			Version:  m.version,
			Start:    m.start,
		},
		gossip: netip.AddrPortFrom(addr, n.Port),
	}, nil
}

// publish makes a snapshot when something has changed: the first at once, then
// at most one every coalesce. It ends with ctx.
func (t *table) publish(ctx context.Context, timing Timing) {
	forget := time.NewTicker(timing.Forget/24 + 1)
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.dirty:
			t.swap()
		case <-forget.C:
			if t.forget(time.Now().Add(-timing.Forget)) {
				t.swap()
			}
			continue
		}
		wait(ctx, timing.Coalesce)
	}
}

// swap puts a new snapshot in place, and then wakes those who wait for it.
func (t *table) swap() {
	t.mu.Lock()
	entries := slices.Clone(t.entries)
	t.mu.Unlock()
	t.metrics.count(entries)
	old := t.current.Swap(&Snapshot{entries: entries, next: make(chan struct{})})
	close(old.next)
}

// forget drops those who departed before a time, and tells whether there were any.
func (t *table) forget(before time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.entries)
	t.entries = slices.DeleteFunc(t.entries, func(e *entry) bool {
		return e.state != Alive && e.at.Before(before)
	})
	return len(t.entries) < n
}

// alive are the gossip addresses of the living, and whether an aggregator other
// than this process is among them. It is newer than any snapshot.
func (t *table) alive() (known map[netip.AddrPort]bool, aggregator bool) {
	known = map[netip.AddrPort]bool{}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries {
		if e.state != Alive {
			continue
		}
		known[e.gossip] = true
		aggregator = aggregator || e.Role == identity.Aggregator && e.Peer() != t.self
	}
	return known, aggregator
}

// wait tells whether d has passed, rather than ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
