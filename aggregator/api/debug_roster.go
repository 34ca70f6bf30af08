package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// namesInVerdict is how many nodes a sentence names.
	namesInVerdict = 5
	// everyone is where the roster's page is without limit.
	everyone = "/debug/roster/all"
)

// rosterPage is /debug/roster: who should be here, who is, and the difference.
type rosterPage struct {
	Problems []string    `json:"problems"`
	Counts   rosterCount `json:"counts"`
	// Missing are expected nodes whose agent is not here: the dead, then the
	// left, then those never heard of, each the latest first.
	Missing []missingNode `json:"missing"`
	// Unexpected are agents whose nodes are not expected, and who are not asked.
	Unexpected []roster.Member `json:"unexpected"`
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
func compare(expected []string, known members, now time.Time) rosterPage {
	agents := known.ByRole(identity.Agent)
	p := rosterPage{Missing: []missingNode{}, Unexpected: []roster.Member{}, Aggregators: known.ByRole(identity.Aggregator), Agents: agents, now: now}
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
	wanted := make(map[string]bool, len(expected))
	for _, node := range expected {
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
		Expected: len(expected), Found: len(expected) - len(p.Missing),
		Agents: len(agents), Unexpected: len(p.Unexpected), Aggregators: len(p.Aggregators),
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
	p.Missing, p.Unexpected, p.Agents, p.All = p.Missing[:n:n], p.Unexpected[:u:u], nil, everyone
	return p
}

// judge says what is wrong, by cause.
func (p *rosterPage) judge() []string {
	problems := []string{}
	c := p.Counts
	switch {
	case c.Expected == 0 && c.Agents == 0:
		return append(problems, "Nobody is expected and no agent is here: see whether agents are running, "+
			"whether their --join, --cluster-label and gossip key are those of this aggregator, and, if there is an --expected-nodes-file, what it lists.")
	case c.Expected > 0 && c.Found == 0 && c.Agents == 0:
		problems = append(problems, fmt.Sprintf("Of %s, no agent is here: see, on page config, whether --cluster-label and the file of --gossip-key-file are those of the agents, "+
			"and whether port 7946 (TCP and UDP, --gossip-port) is open between them and this aggregator, both ways.", obs.Count(c.Expected, "expected node").Text))
	}
	for _, kind := range []struct {
		state roster.State
		n     int
		text  string
	}{
		{roster.Dead, c.Dead, "went silent without a word: %s. See whether the node is up and its agent's pod is running."},
		{roster.Left, c.Left, "stopped and did not come back: %s. Good if the pod is being replaced, or the node is being drained; otherwise see why there is no new pod of the agent."},
		{roster.Unknown, c.Unknown, "were never heard of since this aggregator started, or not for a day: %s. See whether an agent is running there, and whether its log says why it cannot join (\"roster not joined\")."},
	} {
		if kind.n > 0 {
			problems = append(problems, fmt.Sprintf("%d of %s "+kind.text, kind.n, obs.Count(c.Expected, "expected node").Text, p.names(kind.state, kind.n)))
		}
	}
	if c.Unexpected > 0 {
		problems = append(problems, fmt.Sprintf("%s here that nobody expects and nobody asks, such as %s: see whether the list of expected nodes is up to date (--expected-nodes-file).",
			obs.Count(c.Unexpected, "agent").Text, p.Unexpected[0].Name))
	}
	return problems
}

// names are the first of those that are missing for the same reason.
func (p *rosterPage) names(state roster.State, n int) string {
	var names []string
	for _, m := range p.Missing {
		if m.state != state {
			continue
		}
		if len(names) == namesInVerdict {
			return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), n-namesInVerdict)
		}
		name := m.Node
		if !m.Since.IsZero() {
			name += " (" + obs.Time(p.now, m.Since).Text + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// Verdict implements [obs.Presenter].
func (p rosterPage) Verdict() []string { return p.Problems }

// Sections implements [obs.Presenter].
func (p rosterPage) Sections() []obs.Section {
	c := p.Counts
	sections := []obs.Section{{Text: "Expected is who should be here; the roster is who is, by gossip.", Facts: []obs.Fact{
		{Name: "expected nodes", Value: obs.Number(c.Expected)},
		{Name: "of these here", Value: obs.Number(c.Found)},
		{Name: "went silent", Value: obs.Number(c.Dead)},
		{Name: "left", Value: obs.Number(c.Left)},
		{Name: "never heard of", Value: obs.Number(c.Unknown)},
		{Name: "agents here that nobody expects", Value: obs.Number(c.Unexpected)},
		{Name: "aggregators here", Value: obs.Number(c.Aggregators)},
	}}}
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
	_ = json.NewEncoder(w).Encode(compare(p.Expected.Nodes(), p.Roster(), time.Now())) // broken when the reader went away
}
