package expected

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// snapshot is a roster of agents, and of an aggregator called like a node.
type snapshot struct{ alive, dead []string }

func (s snapshot) ByRole(role identity.Role) []roster.Member {
	if role != identity.Agent {
		return []roster.Member{{Name: "node-9", Role: role}}
	}
	var members []roster.Member
	for _, name := range s.alive {
		members = append(members, roster.Member{Name: name, Role: role})
	}
	return members
}

func (s snapshot) Departed() []roster.Departure {
	gone := []roster.Departure{{Member: roster.Member{Name: "node-8", Role: identity.Aggregator}}}
	for i, name := range s.dead {
		at := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		gone = append(gone, roster.Departure{Member: roster.Member{Name: name, Role: identity.Agent, Addr: at}})
	}
	return gone
}

func TestRoster(t *testing.T) {
	for _, tc := range []struct {
		name string
		now  snapshot
		want []string
	}{
		{"empty", snapshot{}, []string{}},
		{"alive", snapshot{alive: []string{"node-1", "node-2"}}, []string{"node-1", "node-2"}},
		{"some dead", snapshot{alive: []string{"node-1", "node-3"}, dead: []string{"node-2"}}, []string{"node-1", "node-2", "node-3"}},
		{"all dead", snapshot{dead: []string{"node-1"}}, []string{"node-1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := FromRoster(func() snapshot { return tc.now }).Nodes()
			if got == nil || !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// What the app passes fits.
func TestRealSnapshotFits(t *testing.T) {
	r := FromRoster(func() *roster.Snapshot { return &roster.Snapshot{} })
	if nodes := r.Nodes(); len(nodes) != 0 {
		t.Errorf("got %q", nodes)
	}
}

// Dead agents are looked for where they were, but for those of nodes that are
// gone, and of whoever is called like a node.
func TestLastSeen(t *testing.T) {
	now := snapshot{alive: []string{"node-1"}, dead: []string{"node-2", "scaled-down", "node-3"}}
	got := LastSeen([]string{"node-1", "node-2", "node-3", "node-8"}, now)
	if want := []string{"10.0.0.0", "10.0.0.2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
