package roster

import (
	"cmp"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// A Member is one process of the fleet, as it describes itself.
type Member struct {
	Name string        `json:"name"`
	Role identity.Role `json:"role"`
	// Addr is where it can be reached.
	Addr netip.Addr `json:"addr"`
	// PeerPort is where an agent answers aggregators; 0 for an aggregator.
	PeerPort uint16 `json:"peerPort,omitempty"`
	// Version of its program, at most 24 bytes of printable ASCII.
	Version string `json:"version"`
	// Start is when it started by its own clock, in whole seconds.
	Start time.Time `json:"start"`
}

// Peer is what its certificate must say.
func (m Member) Peer() identity.Peer { return identity.Peer{Role: m.Role, Name: m.Name} }

// A State is what gossip knows about a member.
type State uint8

const (
	// Unknown: never heard of, or departed too long ago.
	Unknown State = iota
	// Alive: here (a member that is merely suspected is, too).
	Alive
	// Dead: went silent, and gossip has declared it dead.
	Dead
	// Left: said goodbye.
	Left
)

func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Alive:
		return "alive"
	case Dead:
		return "dead"
	case Left:
		return "left"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// A Departure is a member that is gone, as it last described itself.
type Departure struct {
	Member
	// At is when this process heard of it.
	At time.Time `json:"at"`
}

// A Snapshot is the roster at one time. It never changes, so it can be read
// without locks; every slice it returns is the caller's own.
type Snapshot struct {
	entries []*entry // by name and role; shared with other snapshots, read only
	// next is closed when a newer snapshot has taken the place of this one.
	next chan struct{}

	// byPeer is made for the first who looks: a question to all nodes looks up
	// each, twice.
	once   sync.Once
	byPeer map[identity.Peer]*entry
}

// entry is what the roster knows of one member, departed ones included.
// It is never written to once it is in the table.
type entry struct {
	Member
	start  uint64 // see life
	state  State
	at     time.Time      // of departure
	gossip netip.AddrPort // where its gossip is
}

func compareEntry(e *entry, peer identity.Peer) int {
	return cmp.Or(cmp.Compare(e.Name, peer.Name), cmp.Compare(e.Role, peer.Role))
}

// Members are those alive, this process included, by name (and role, where an
// agent and an aggregator have the same name).
func (s *Snapshot) Members() []Member {
	return s.members(func(e *entry) bool { return true })
}

// ByRole are those alive with that role, this process included, by name.
func (s *Snapshot) ByRole(role identity.Role) []Member {
	return s.members(func(e *entry) bool { return e.Role == role })
}

func (s *Snapshot) members(keep func(*entry) bool) []Member {
	members := make([]Member, 0, len(s.entries))
	for _, e := range s.entries {
		if e.state == Alive && keep(e) {
			members = append(members, e.Member)
		}
	}
	return members
}

// Lookup finds a member, and whether it is here. Of a departed one it returns
// what was last known; of an Unknown one the zero Member.
func (s *Snapshot) Lookup(role identity.Role, name string) (Member, State) {
	s.once.Do(func() {
		s.byPeer = make(map[identity.Peer]*entry, len(s.entries))
		for _, e := range s.entries {
			s.byPeer[e.Peer()] = e
		}
	})
	e := s.byPeer[identity.Peer{Role: role, Name: name}]
	if e == nil {
		return Member{}, Unknown
	}
	return e.Member, e.state
}

// Departed are the dead, by name, until they are back or 24 h have passed.
func (s *Snapshot) Departed() []Departure { return s.gone(Dead) }

// Left are those that left gracefully, by name, for as long.
func (s *Snapshot) Left() []Departure { return s.gone(Left) }

func (s *Snapshot) gone(state State) []Departure {
	var gone []Departure
	for _, e := range s.entries {
		if e.state == state {
			gone = append(gone, Departure{Member: e.Member, At: e.at})
		}
	}
	return gone
}
