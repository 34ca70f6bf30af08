package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/expected"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// everyone is where the roster's page is without limit.
const everyone = "/debug/roster/all"

// rosterPage is /debug/roster: who should be here, who is, and the difference.
type rosterPage struct {
	Problems []string `json:"problems"`
	// Source is where it is known from who should be here.
	Source expected.Status `json:"source"`
	Counts rosterCount     `json:"counts"`
	// Missing are expected nodes whose agent is not here: the dead, then the
	// left, then those never heard of, each the latest first.
	Missing []missingNode `json:"missing"`
	// Unexpected are agents whose nodes are not expected, and who are not asked.
	Unexpected []roster.Member `json:"unexpected"`
	// Unsupported are nodes that cannot run the agent.
	Unsupported []coverage.Unsupported `json:"unsupported"`
	// Aggregators are those alive, this one included, and Agents likewise.
	Aggregators []roster.Member `json:"aggregators"`
	Agents      []roster.Member `json:"agents,omitempty"`
	// All is where all of a list is, if one was cut.
	All string `json:"all,omitempty"`

	now time.Time
}

// rosterCount is how many there are, listed or not.
type rosterCount struct {
	// Expected nodes are Found, or Dead, Left or Unknown.
	Expected int `json:"expected"`
	Found    int `json:"found"`
	Dead     int `json:"dead"`
	Left     int `json:"left"`
	Unknown  int `json:"unknown"`
	// Agents alive are Found, or Unexpected.
	Agents      int `json:"agents"`
	Unexpected  int `json:"unexpected"`
	Aggregators int `json:"aggregators"`
	Unsupported int `json:"unsupported"`
}

// missingNode is a node that is expected and not here.
type missingNode struct {
	Node string `json:"node"`
	// Why is "dead", "left" or "unknown", and Since when this aggregator heard
	// of it; zero for the unknown.
	Why   string    `json:"why"`
	Since time.Time `json:"since,omitzero"`
	// Last is what the agent was when it was here.
	Last *roster.Member `json:"last,omitempty"`

	state roster.State
}

// A members says who is here and who was; *roster.Snapshot is one.
type members interface {
	// ByRole are those alive, by name.
	ByRole(role identity.Role) []roster.Member
	// Departed are the dead, Left those that said goodbye.
	Departed() []roster.Departure
	Left() []roster.Departure
}

// compare makes the page, with all names.
func compare(e Expected, known members, now time.Time) rosterPage {
	agents, nodes := known.ByRole(identity.Agent), e.Nodes()
	p := rosterPage{
		Source: e.Status(), Missing: []missingNode{}, Unexpected: []roster.Member{}, Unsupported: append([]coverage.Unsupported{}, e.Unsupported()...),
		Aggregators: known.ByRole(identity.Aggregator), Agents: agents, now: now,
	}
	here := make(map[string]bool, len(agents))
	for _, m := range agents {
		here[m.Name] = true
	}
	gone := map[string]missingNode{}
	for state, list := range map[roster.State][]roster.Departure{roster.Dead: known.Departed(), roster.Left: known.Left()} {
		for _, d := range list {
			if d.Role == identity.Agent {
				gone[d.Name] = missingNode{Node: d.Name, Since: d.At, Last: &d.Member, state: state}
			}
		}
	}
	wanted := make(map[string]bool, len(nodes))
	for _, node := range nodes {
		wanted[node] = true
		if here[node] {
			continue
		}
		m, ok := gone[node]
		if !ok {
			m = missingNode{Node: node, state: roster.Unknown}
		}
		m.Why = m.state.String()
		p.Missing = append(p.Missing, m)
	}
	for _, m := range agents {
		if !wanted[m.Name] {
			p.Unexpected = append(p.Unexpected, m)
		}
	}
	slices.SortStableFunc(p.Missing, func(a, b missingNode) int {
		return cmp.Or(cmp.Compare(order(a.state), order(b.state)), b.Since.Compare(a.Since), cmp.Compare(a.Node, b.Node))
	})
	p.Counts = rosterCount{
		Expected: len(nodes), Found: len(nodes) - len(p.Missing),
		Agents: len(agents), Unexpected: len(p.Unexpected), Aggregators: len(p.Aggregators), Unsupported: len(p.Unsupported),
	}
	for _, m := range p.Missing {
		switch m.state {
		case roster.Dead:
			p.Counts.Dead++
		case roster.Left:
			p.Counts.Left++
		default:
			p.Counts.Unknown++
		}
	}
	p.Problems = p.judge()
	return p
}

// order puts first what most likely broke just now.
func order(s roster.State) int {
	return slices.Index([]roster.State{roster.Dead, roster.Left, roster.Unknown}, s)
}

// cut leaves as many of each list as a coverage lists, and of the agents, who
// are as expected, none.
func (p rosterPage) cut() rosterPage {
	n := min(len(p.Missing), coverage.MaxListed)
	u := min(len(p.Unexpected), coverage.MaxListed)
	s := min(len(p.Unsupported), coverage.MaxListed)
	p.Missing, p.Unexpected, p.Unsupported, p.Agents, p.All = p.Missing[:n:n], p.Unexpected[:u:u], p.Unsupported[:s:s], nil, everyone
	return p
}

// Verdict implements [obs.Presenter].
func (p rosterPage) Verdict() []string { return p.Problems }

// Sections implements [obs.Presenter].
func (p rosterPage) Sections() []obs.Section {
	c := p.Counts
	facts := []obs.Fact{{Name: "who is expected is known from", Value: obs.Text(p.Source.Source)}}
	if !p.Source.Contact.IsZero() {
		facts = append(facts, obs.Fact{Name: "the API server's last word", Value: obs.Time(p.now, p.Source.Contact)})
	}
	sections := []obs.Section{{Text: "Expected is who should be here; the roster is who is, by gossip.", Facts: append(facts, []obs.Fact{
		{Name: "expected nodes", Value: obs.Number(c.Expected)},
		{Name: "of these here", Value: obs.Number(c.Found)},
		{Name: "went silent", Value: obs.Number(c.Dead)},
		{Name: "left", Value: obs.Number(c.Left)},
		{Name: "never heard of", Value: obs.Number(c.Unknown)},
		{Name: "agents here that nobody expects", Value: obs.Number(c.Unexpected)},
		{Name: "nodes that cannot run the agent", Value: obs.Number(c.Unsupported)},
		{Name: "aggregators here", Value: obs.Number(c.Aggregators)},
	}...)}}
	if len(p.Missing) > 0 {
		s := listed("Expected and not here", len(p.Missing), c.Expected-c.Found)
		s.Table = &obs.Table{Columns: []obs.Column{{Title: "node"}, {Title: "why"}, {Title: "since"}, {Title: "last address"}, {Title: "last version"}}}
		for _, m := range p.Missing {
			row := []obs.Value{obs.Text(m.Node), obs.Text(why(m.state)), {}, {}, {}}
			if m.Last != nil {
				row[2], row[3], row[4] = obs.Time(p.now, m.Since), obs.Text(m.Last.Addr.String()), obs.Text(m.Last.Version)
			}
			s.Table.Rows = append(s.Table.Rows, row)
		}
		sections = append(sections, s)
	}
	if len(p.Unexpected) > 0 {
		sections = append(sections, p.members("Here and not expected", p.Unexpected, c.Unexpected))
	}
	if len(p.Unsupported) > 0 {
		s := listed("Cannot run the agent", len(p.Unsupported), c.Unsupported)
		s.Table = &obs.Table{Columns: []obs.Column{{Title: "node"}, {Title: "reason"}}}
		for _, u := range p.Unsupported {
			s.Table.Rows = append(s.Table.Rows, []obs.Value{obs.Text(u.Node), obs.Text(u.Reason)})
		}
		sections = append(sections, s)
	}
	return append(sections, p.members("Aggregators", p.Aggregators, c.Aggregators))
}

// why is a state as people see it.
func why(s roster.State) string {
	switch s {
	case roster.Dead:
		return "went silent"
	case roster.Left:
		return "left"
	}
	return "never heard of"
}

func (p *rosterPage) members(title string, members []roster.Member, of int) obs.Section {
	s := listed(title, len(members), of)
	s.Table = &obs.Table{Columns: []obs.Column{{Title: "name"}, {Title: "address"}, {Title: "started"}, {Title: "version"}}}
	for _, m := range members {
		s.Table.Rows = append(s.Table.Rows, []obs.Value{obs.Text(m.Name), obs.Text(m.Addr.String()), obs.Time(p.now, m.Start), obs.Text(m.Version)})
	}
	return s
}

// listed is a section that may have been cut.
func listed(title string, n, of int) obs.Section {
	s := obs.Section{Title: title}
	if n < of {
		s.Text = fmt.Sprintf("%d of %d; all are at %s.", n, of, everyone)
	}
	return s
}

// allOfRoster is /debug/roster/all: the page as JSON with all names, a
// megabyte for 5000 nodes.
func (p *Pages) allOfRoster(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(compare(p.Expected, p.Roster(), time.Now())) // broken when the reader went away
}
