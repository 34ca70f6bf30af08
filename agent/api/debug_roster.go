package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// shownMembers is how many members of a kind people are shown.
	shownMembers = 100
	// joinWithin is how long an agent may take to join: it waits for up to half
	// of it, so that not all agents join at once.
	joinWithin = time.Minute
)

// A Roster is who is in the fleet; *roster.Snapshot is one.
type Roster interface {
	Members() []roster.Member
	Departed() []roster.Departure
	Left() []roster.Departure
}

// rosterPage is /debug/roster.
type rosterPage struct {
	Problems []string `json:"problems"`
	// Counts is how many members there are of each role, by state.
	Counts map[identity.Role]roleCounts `json:"counts"`
	// Members are those alive, aggregators first.
	Members []roster.Member    `json:"members"`
	Dead    []roster.Departure `json:"dead"`
	Left    []roster.Departure `json:"left"`
	now     time.Time
	node    string
	waiting error // why this agent is not in the roster yet
}

type roleCounts struct {
	Alive int `json:"alive"`
	Dead  int `json:"dead"`
	Left  int `json:"left"`
}

func (p *Pages) roster() any {
	data := p.Roster()
	r, ok := data.(Roster)
	if !ok {
		return data
	}
	page := rosterPage{
		Members: notNil(r.Members()), Dead: notNil(r.Departed()), Left: notNil(r.Left()),
		now: time.Now(), node: p.Node,
	}
	slices.SortStableFunc(page.Members, func(a, b roster.Member) int { return cmp.Compare(rank(a.Role), rank(b.Role)) })
	slices.SortStableFunc(page.Dead, compareDeparture)
	slices.SortStableFunc(page.Left, compareDeparture)
	page.count()
	if p.Waiting != nil {
		page.waiting = p.Waiting()
	}
	page.Problems = page.judge()
	return page
}

func notNil[T any](list []T) []T { return append([]T{}, list...) }

// rank is the order of roles on the page: there are few aggregators, and they
// matter most.
func rank(r identity.Role) int {
	if r == identity.Aggregator {
		return 0
	}
	return 1
}

// compareDeparture puts aggregators first, then whoever departed last.
func compareDeparture(a, b roster.Departure) int {
	return cmp.Or(cmp.Compare(rank(a.Role), rank(b.Role)), b.At.Compare(a.At))
}

func (p *rosterPage) count() {
	p.Counts = map[identity.Role]roleCounts{identity.Agent: {}, identity.Aggregator: {}}
	add := func(role identity.Role, alive, dead, left int) {
		c := p.Counts[role]
		p.Counts[role] = roleCounts{c.Alive + alive, c.Dead + dead, c.Left + left}
	}
	for _, m := range p.Members {
		add(m.Role, 1, 0, 0)
	}
	for _, d := range p.Dead {
		add(d.Role, 0, 1, 0)
	}
	for _, d := range p.Left {
		add(d.Role, 0, 0, 1)
	}
}

// judge says what is wrong for this node: that others are gone is their
// trouble, but without an aggregator nobody asks this one.
func (p *rosterPage) judge() []string {
	problems := []string{}
	if p.waiting != nil {
		return append(problems, "This agent is not in the roster yet, so nobody asks this node, and answers lack it: "+sentence(p.waiting.Error()))
	}
	if p.Counts[identity.Aggregator].Alive > 0 {
		return problems
	}
	// The last to go, or else the start of this process.
	var last *roster.Departure
	for _, list := range [][]roster.Departure{p.Dead, p.Left} {
		for i := range list {
			if d := &list[i]; d.Role == identity.Aggregator && (last == nil || d.At.After(last.At)) {
				last = d
			}
		}
	}
	const then = "so nobody asks this node, and answers lack it"
	if last != nil {
		how := "went silent"
		if slices.Contains(p.Left, *last) {
			how = "left"
		}
		return append(problems, fmt.Sprintf("No aggregator is here%s, when %s %s, %s. See whether one is running, "+
			"and whether port 7946 (TCP and UDP, --gossip-port) is open between it and this node, both ways.", since(last.At), last.Name, how, then))
	}
	what, start := "No aggregator has been seen", p.start()
	if age := p.now.Sub(start); age >= 0 && age < joinWithin {
		return append(problems, fmt.Sprintf("%s yet: this agent started %s ago, and joins within a minute.", what, obs.Span(age)))
	}
	if !start.IsZero() {
		what += since(start) + ", when this agent started"
	}
	if len(p.Members) > 1 {
		what += fmt.Sprintf(" (but %s)", obs.Count(len(p.Members)-1, "other member").Text)
	}
	return append(problems, what+", "+then+". See, on page config, whether --join names the aggregators, --cluster-label is theirs, "+
		"and the file of --gossip-key-file has their key; whether one is running; and whether port 7946 (TCP and UDP, --gossip-port) is open "+
		`between it and this node, both ways. The agent's log says why joining fails ("roster not joined").`)
}

// start is when this process started, the zero time if it cannot tell.
func (p *rosterPage) start() time.Time {
	for _, m := range p.Members {
		if len(p.Members) == 1 || m.Role == identity.Agent && m.Name == p.node {
			return m.Start
		}
	}
	return time.Time{}
}

// Verdict implements [obs.Presenter].
func (p rosterPage) Verdict() []string { return p.Problems }

// Sections implements [obs.Presenter].
func (p rosterPage) Sections() []obs.Section {
	counts := &obs.Table{Columns: []obs.Column{{Title: "role"}, {Title: "alive", Number: true}, {Title: "went silent", Number: true}, {Title: "left", Number: true}}}
	for _, role := range []identity.Role{identity.Aggregator, identity.Agent} {
		c := p.Counts[role]
		counts.Rows = append(counts.Rows, []obs.Value{obs.Text(string(role) + "s"), obs.Number(c.Alive), obs.Number(c.Dead), obs.Number(c.Left)})
	}
	aggregators := p.Members[:p.Counts[identity.Aggregator].Alive]
	agents := p.Members[len(aggregators):]
	sections := []obs.Section{
		{Text: "By gossip. Those who went silent or left are known for a day, or until they are back.", Table: counts},
		p.members("Aggregators", aggregators),
	}
	if len(p.Dead) > 0 {
		sections = append(sections, p.departures("Went silent", p.Dead))
	}
	if len(p.Left) > 0 {
		sections = append(sections, p.departures("Left", p.Left))
	}
	if len(agents) <= shownMembers {
		return append(sections, p.members("Agents", agents))
	}
	return append(sections, obs.Section{Title: "Agents by version",
		Text: fmt.Sprintf("These are %d; each is named only in the JSON.", len(agents)), More: true, Table: versions(agents)})
}

func (p *rosterPage) members(title string, members []roster.Member) obs.Section {
	s := obs.Section{Title: title}
	if len(members) == 0 {
		s.Text = "None."
		return s
	}
	if len(members) > shownMembers {
		s.Text, s.More = fmt.Sprintf("The first %d of %d.", shownMembers, len(members)), true
	}
	s.Table = &obs.Table{Columns: []obs.Column{{Title: "name"}, {Title: "address"}, {Title: "started"}, {Title: "version"}}}
	for _, m := range members[:min(len(members), shownMembers)] {
		name := obs.Text(m.Name)
		if m.Role == identity.Agent && m.Name == p.node {
			name.Exact = "this one"
		}
		s.Table.Rows = append(s.Table.Rows, []obs.Value{name, address(m), obs.Time(p.now, m.Start), obs.Text(m.Version)})
	}
	return s
}

func (p *rosterPage) departures(title string, gone []roster.Departure) obs.Section {
	s := obs.Section{Title: title}
	if len(gone) > shownMembers {
		s.Text, s.More = fmt.Sprintf("Aggregators, then whoever was the last: %d of %d.", shownMembers, len(gone)), true
	}
	s.Table = &obs.Table{Columns: []obs.Column{{Title: "name"}, {Title: "role"}, {Title: "when"}, {Title: "address"}, {Title: "version"}}}
	for _, d := range gone[:min(len(gone), shownMembers)] {
		s.Table.Rows = append(s.Table.Rows, []obs.Value{
			obs.Text(d.Name), obs.Text(string(d.Role)), obs.Time(p.now, d.At), address(d.Member), obs.Text(d.Version),
		})
	}
	return s
}

// address is where a member is; of an agent, with the port where it answers.
func address(m roster.Member) obs.Value {
	v := obs.Text(m.Addr.String())
	if m.PeerPort != 0 {
		v.Exact = fmt.Sprintf("port %d", m.PeerPort)
	}
	return v
}

// versions counts agents by version, the most frequent first.
func versions(agents []roster.Member) *obs.Table {
	n := map[string]int{}
	for _, m := range agents {
		n[m.Version]++
	}
	t := &obs.Table{Columns: []obs.Column{{Title: "version"}, {Title: "agents", Number: true}}}
	for version := range n {
		t.Rows = append(t.Rows, []obs.Value{obs.Text(version), obs.Number(n[version])})
	}
	slices.SortFunc(t.Rows, func(a, b []obs.Value) int {
		return cmp.Or(cmp.Compare(n[b[0].Text], n[a[0].Text]), strings.Compare(a[0].Text, b[0].Text))
	})
	return t
}

// keys is /debug/keys: an aggregator looks there while gossip keys are rotated.
func (p *Pages) keys() any {
	page := roster.KeysInUse{Keys: []string{}}
	if p.Keys != nil {
		page.Keys = append(page.Keys, p.Keys()...)
	}
	return page
}
