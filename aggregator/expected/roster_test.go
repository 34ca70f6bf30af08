package expected

import (
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
	for _, name := range s.dead {
		gone = append(gone, roster.Departure{Member: roster.Member{Name: name, Role: identity.Agent}})
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
