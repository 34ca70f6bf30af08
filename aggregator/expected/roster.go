package expected

import (
	"slices"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// A Snapshot is the roster at one time; *roster.Snapshot is one.
type Snapshot interface {
	// ByRole are the living members with that role.
	ByRole(role identity.Role) []roster.Member
	// Departed are the dead that are not back.
	Departed() []roster.Departure
}

// A Roster expects the nodes whose agents are alive, and those whose agents
// died: they should be here. Nodes whose agents said goodbye are not expected.
// After 24 h the roster forgets the dead, and an aggregator that starts later
// has never heard of them; where that is too little, keep a [File]. A Roster
// is safe for concurrent use.
type Roster struct {
	nodes func() (alive []roster.Member, dead []roster.Departure)
}

// FromRoster expects what the newest snapshot says.
func FromRoster[S Snapshot](snapshot func() S) *Roster {
	return &Roster{nodes: func() ([]roster.Member, []roster.Departure) {
		s := snapshot()
		return s.ByRole(identity.Agent), s.Departed()
	}}
}

// Nodes are the expected nodes, by name. The slice is the caller's.
func (r *Roster) Nodes() []string {
	alive, dead := r.nodes()
	nodes := make([]string, 0, len(alive)+len(dead))
	for _, m := range alive {
		nodes = append(nodes, m.Name)
	}
	for _, d := range dead {
		if d.Role == identity.Agent {
			nodes = append(nodes, d.Name)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// Unsupported is empty: whoever is in the roster runs the agent.
func (r *Roster) Unsupported() []coverage.Unsupported { return nil }

// Status names the roster.
func (r *Roster) Status() Status {
	return Status{Source: "the roster: agents that are here, or that went silent"}
}

// LastSeen are the addresses at which the agents of expected nodes, given by name
// and sorted, were before they died: what roster.Config.Missing wants to know.
// Whoever is not expected any more is left alone.
func LastSeen(nodes []string, s Snapshot) []string {
	var addresses []string
	for _, d := range s.Departed() {
		if _, found := slices.BinarySearch(nodes, d.Name); found && d.Role == identity.Agent {
			addresses = append(addresses, d.Addr.String())
		}
	}
	return addresses
}
