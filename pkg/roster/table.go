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

// joined is the event of a member that was not alive before.
const joined = "join"

// table takes memberlist's events and makes snapshots of them. Events come
// under memberlist's own lock, a thousand at once when a fleet starts, so each
// only copies one member; snapshots are made by publish, in its own time.
type table struct {
	self    identity.Peer
	metrics *metrics
	met     atomic.Bool   // any other member, ever
	dirty   chan struct{} // holds one token if something has changed
	current atomic.Pointer[Snapshot]

	mu sync.Mutex
	// entries are by peer and start: of each peer one process, the last that was
	// heard of. More than one only if those before it say that they started
	// later: a clock has gone back, or two processes have one name.
	entries []*entry
	changes uint64 // events so far
}

func newTable(self identity.Peer, m *metrics) *table {
	t := &table{self: self, metrics: m, dirty: make(chan struct{}, 1)}
	t.current.Store(&Snapshot{next: make(chan struct{})})
	return t
}

// NotifyJoin is called for this process, too.
func (t *table) NotifyJoin(n *memberlist.Node) { t.put(n, joined, Alive) }

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
	t.insert(e, event)
	t.changes++
	t.mu.Unlock()
	select {
	case t.dirty <- struct{}{}:
	default:
	}
}

// insert takes over what was heard of one process of a member, in whatever order
// that comes. It needs mu.
func (t *table) insert(e *entry, event string) {
	from, _ := slices.BinarySearchFunc(t.entries, e.Peer(), compareEntry)
	to := from
	for to < len(t.entries) && t.entries[to].Peer() == e.Peer() {
		to++
	}
	known, kept := false, make([]*entry, 0, 2)
	for _, o := range t.entries[from:to] {
		switch {
		case o.start == e.start:
			known = true
		// Where this one is alive, those before it are no more, whatever else is
		// heard of them.
		case o.state == Alive && (e.state != Alive || o.start > e.start):
			kept = append(kept, o)
		}
	}
	if !known && event != joined && to > from {
		return // late news of one before
	}
	if e.state == Alive || len(kept) == 0 {
		kept = slices.Insert(kept, 0, e) // the others started later
	}
	t.entries = slices.Replace(t.entries, from, to, kept...)
}

// entryOf copies all that is needed of a node, which stays memberlist's.
func entryOf(n *memberlist.Node) (*entry, error) {
	l, _ := parseGossipName(n.Name)
	m, err := decodeMeta(n.Meta)
	if err != nil {
		return nil, err
	}
	addr, _ := netip.AddrFromSlice(n.Addr)
	addr = addr.Unmap()
	return &entry{
		Member: Member{
			Name:     l.Name,
			Role:     l.Role,
			Addr:     addr,
			PeerPort: m.peerPort,
			Version:  m.version,
			Start:    m.start,
		},
		start:  l.start,
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
	entries := newest(t.entries)
	t.mu.Unlock()
	t.metrics.count(entries)
	old := t.current.Swap(&Snapshot{entries: entries, next: make(chan struct{})})
	close(old.next)
}

// newest are the entries that count, one of each peer: of several, the one that
// started last.
func newest(all []*entry) []*entry {
	entries := make([]*entry, 0, len(all))
	for i, e := range all {
		if i+1 == len(all) || all[i+1].Peer() != e.Peer() {
			entries = append(entries, e)
		}
	}
	return entries
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

// alive are the gossip addresses of the living. It is newer than any snapshot.
func (t *table) alive() map[netip.AddrPort]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := make(map[netip.AddrPort]bool, len(t.entries))
	for _, e := range t.entries {
		if e.state == Alive {
			known[e.gossip] = true
		}
	}
	return known
}

// aggregators are the gossip addresses of the living aggregators but this
// process, and how many events there were until now. It is newer than any
// snapshot.
func (t *table) aggregators() (known []netip.AddrPort, changes uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries {
		if e.Role == identity.Aggregator && e.state == Alive && e.Peer() != t.self {
			known = append(known, e.gossip)
		}
	}
	return known, t.changes
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
