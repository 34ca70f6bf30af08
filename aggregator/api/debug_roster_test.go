package api

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// known is a roster, and beside the agents an aggregator called like a node.
type known struct{ alive, dead, left []string }

func agentCalled(name string) roster.Member {
	return roster.Member{Name: name, Role: identity.Agent, Addr: netip.MustParseAddr("10.0.0.1"), Version: "v1"}
}

func (k known) ByRole(role identity.Role) []roster.Member {
	if role == identity.Aggregator {
		return []roster.Member{{Name: "node-9", Role: role}}
	}
	var members []roster.Member
	for _, name := range k.alive {
		members = append(members, agentCalled(name))
	}
	return members
}

func (k known) Departed() []roster.Departure {
	return append(departures(k.dead), roster.Departure{Member: roster.Member{Name: "node-8", Role: identity.Aggregator}})
}

func (k known) Left() []roster.Departure { return departures(k.left) }

// departures are a minute apart, the last at the time 0.
func departures(names []string) (gone []roster.Departure) {
	for i, name := range names {
		gone = append(gone, roster.Departure{Member: agentCalled(name), At: time.Unix(int64(60*(i+1-len(names))), 0)})
	}
	return gone
}

func TestRosterPage(t *testing.T) {
	for name, tc := range map[string]struct {
		expected []string
		known    known
		counts   rosterCount
		missing  string   // node:why, in order
		problems []string // a part of each
	}{
		"all here": {
			[]string{"node-1", "node-2"}, known{alive: []string{"node-1", "node-2"}},
			rosterCount{Expected: 2, Found: 2, Agents: 2, Aggregators: 1}, "", nil,
		},
		"each kind": {
			[]string{"node-1", "node-2", "node-3", "node-4", "node-5", "node-8", "node-9"},
			known{alive: []string{"node-1", "node-7"}, dead: []string{"node-2", "node-3"}, left: []string{"node-4", "node-6"}},
			rosterCount{Expected: 7, Found: 1, Dead: 2, Left: 1, Unknown: 3, Agents: 2, Unexpected: 1, Aggregators: 1},
			"node-3:dead node-2:dead node-4:left node-5:unknown node-8:unknown node-9:unknown",
			[]string{
				"2 of 7 expected nodes went silent without a word: node-3 (5 min ago), node-2 (6 min ago).",
				"1 of 7 expected nodes stopped and did not come back: node-4 (6 min ago).",
				"3 of 7 expected nodes were never heard of", "1 agent here that nobody expects and nobody asks, such as node-7:",
			},
		},
		"nobody": {nil, known{}, rosterCount{Aggregators: 1}, "", []string{"Nobody is expected and no agent is here"}},
		"alone": {
			[]string{"node-1"}, known{}, rosterCount{Expected: 1, Unknown: 1, Aggregators: 1}, "node-1:unknown",
			[]string{"Of 1 expected node, no agent is here", "1 of 1 expected node were never heard of"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			page := compare(nodes(tc.expected), tc.known, time.Unix(300, 0))
			if page.Counts != tc.counts {
				t.Errorf("counts %+v, want %+v", page.Counts, tc.counts)
			}
			var missing []string
			for _, m := range page.Missing {
				missing = append(missing, m.Node+":"+m.Why)
				if (m.Last == nil) != (m.Why == "unknown") || m.Since.IsZero() != (m.Why == "unknown") {
					t.Errorf("%+v", m)
				}
			}
			if got := strings.Join(missing, " "); got != tc.missing {
				t.Errorf("missing %s, want %s", got, tc.missing)
			}
			if !slices.EqualFunc(page.Verdict(), tc.problems, strings.Contains) || page.Verdict() == nil {
				t.Errorf("verdict %q, want %q", page.Verdict(), tc.problems)
			}
		})
	}
}

func TestRosterPageTellsOfUnsupportedNodes(t *testing.T) {
	e := partly{nodes{"node-1"}, []coverage.Unsupported{{Node: "gpu-1", Reason: "tainted"}, {Node: "win-1", Reason: "no Linux"}}}
	page := compare(e, known{alive: []string{"gpu-1", "node-1", "node-7"}}, time.Unix(300, 0))
	if want := (rosterCount{Expected: 1, Found: 1, Agents: 3, Unexpected: 2, Aggregators: 1, Unsupported: 2}); page.Counts != want {
		t.Errorf("counts %+v, want %+v", page.Counts, want)
	}
	problems := []string{
		"Something is wrong.", "1 agent here that nobody asks, since no other would be started there now, such as gpu-1 (tainted):",
		"1 agent here that nobody expects and nobody asks, such as node-7: see whether what says who is expected is up to date: another test.",
	}
	if !slices.EqualFunc(page.Verdict(), problems, strings.Contains) {
		t.Errorf("verdict %q, want %q", page.Verdict(), problems)
	}
	sections := page.Sections()
	if f := sections[0].Facts; f[0].Value.Text != "another test" || f[1].Value.Text != "1 min ago" {
		t.Errorf("facts %+v", f)
	}
	if s := sections[2]; s.Title != "Cannot run the agent" || len(s.Table.Rows) != 2 || s.Table.Rows[1][1].Text != "no Linux" {
		t.Errorf("section %+v", s)
	}
}

func TestRosterPageIsBounded(t *testing.T) {
	var expected []string
	var here known
	for i := range 5000 {
		name := fmt.Sprintf("node-%04d", i)
		expected = append(expected, name)
		switch {
		case i < 2000:
			here.dead = append(here.dead, name)
		case i < 3000:
			here.alive = append(here.alive, "other-"+name)
		case i < 4000:
			here.alive = append(here.alive, name)
		}
	}
	all := compare(partly{expected, make([]coverage.Unsupported, 300)}, here, time.Unix(300, 0))
	page := all.cut()
	want := rosterCount{Expected: 5000, Found: 1000, Dead: 2000, Unknown: 2000, Agents: 2000, Unexpected: 1000, Aggregators: 1, Unsupported: 300}
	if page.Counts != want || all.Counts != want {
		t.Errorf("counts %+v", page.Counts)
	}
	if len(page.Missing) != coverage.MaxListed || len(page.Unexpected) != coverage.MaxListed || len(page.Unsupported) != coverage.MaxListed || len(page.Agents) != 0 || page.All != everyone {
		t.Errorf("%d missing, %d unexpected, %d agents, all at %q", len(page.Missing), len(page.Unexpected), len(page.Agents), page.All)
	}
	if len(all.Missing) != 4000 || len(all.Unexpected) != 1000 || len(all.Unsupported) != 300 || len(all.Agents) != 2000 {
		t.Errorf("all: %d missing, %d unexpected, %d agents", len(all.Missing), len(all.Unexpected), len(all.Agents))
	}
	text, err := json.Marshal(page)
	if err != nil || len(text) > 64<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	var p obs.Presenter = page
	if s := p.Sections()[1]; len(s.Table.Rows) != coverage.MaxListed || !strings.Contains(s.Text, "100 of 4000") {
		t.Errorf("%d rows, %q", len(s.Table.Rows), s.Text)
	}
}

// BenchmarkRosterPage is the page of a fleet whose half is missing.
func BenchmarkRosterPage(b *testing.B) {
	var expected []string
	var here known
	for i := range 5000 {
		name := fmt.Sprintf("node-%04d", i)
		expected = append(expected, name)
		if i%2 == 0 {
			here.alive = append(here.alive, name)
		} else {
			here.dead = append(here.dead, name)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		compare(nodes(expected), here, time.Unix(300, 0)).cut()
	}
}
