package roster

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

func newTestTable() *table {
	return newTable(identity.Peer{Role: identity.Agent, Name: "node-0"}, newMetrics(prometheus.NewRegistry()))
}

func agentMeta(leaving bool) meta {
	return meta{role: identity.Agent, peerPort: 9810, start: time.Unix(1, 0), leaving: leaving}
}

// TestManyJoinsAreFewSnapshots: a thousand joins at once, with readers that
// look at the snapshots all the while.
func TestManyJoinsAreFewSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTestTable()
		timing := LocalTiming()
		go table.publish(t.Context(), timing)

		const joins = 1000
		var snapshots int
		var wg sync.WaitGroup
		for reader := range 4 {
			wg.Go(func() {
				for {
					s := table.current.Load()
					members := s.Members()
					if !slices.IsSortedFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) }) {
						t.Error("not sorted")
					}
					if len(members) == joins {
						return
					}
					clear(members) // ours
					<-s.next
					if reader == 0 {
						snapshots++
					}
				}
			})
		}
		for i := range joins {
			table.NotifyJoin(nodeOf(fmt.Sprintf("node-%d", i), "10.0.0.2", agentMeta(false)))
		}
		wg.Wait()
		// None, if the reader began late and saw them all at once.
		if snapshots > 3 {
			t.Errorf("%d snapshots", snapshots)
		}
		if s := table.current.Load(); len(s.Members()) != joins || s.Members()[0].Name != "node-0" {
			t.Error("a reader changed the snapshot")
		}
	})
}

// Events about the processes of one member, in all orders that gossip brings.
func TestOneMemberManyLives(t *testing.T) {
	type event struct {
		start string // in the gossip name
		addr  string
		what  string
	}
	for name, tc := range map[string]struct {
		events []event
		addr   string
		state  State
		kept   int
	}{
		"restarted":                     {[]event{{"@1", "10.0.0.1", "join"}, {"@1", "10.0.0.1", "leave"}, {"@2", "10.0.0.2", "join"}}, "10.0.0.2", Alive, 1},
		"the leave comes late":          {[]event{{"@1", "10.0.0.1", "join"}, {"@2", "10.0.0.2", "join"}, {"@1", "10.0.0.1", "leave"}}, "10.0.0.2", Alive, 1},
		"killed, not yet dead":          {[]event{{"@1", "10.0.0.1", "join"}, {"@2", "10.0.0.2", "join"}}, "10.0.0.2", Alive, 1},
		"killed, then dead":             {[]event{{"@1", "10.0.0.1", "join"}, {"@2", "10.0.0.2", "join"}, {"@1", "10.0.0.1", "dead"}}, "10.0.0.2", Alive, 1},
		"the old one is heard of late":  {[]event{{"@2", "10.0.0.2", "join"}, {"@1", "10.0.0.1", "join"}}, "10.0.0.2", Alive, 2},
		"the new one leaves":            {[]event{{"@1", "10.0.0.1", "join"}, {"@1", "10.0.0.1", "dead"}, {"@2", "10.0.0.2", "join"}, {"@2", "10.0.0.2", "leave"}}, "10.0.0.2", Left, 1},
		"the old one dies after that":   {[]event{{"@1", "10.0.0.1", "join"}, {"@2", "10.0.0.2", "join"}, {"@2", "10.0.0.2", "leave"}, {"@1", "10.0.0.1", "dead"}}, "10.0.0.2", Left, 1},
		"and a late announcement":       {[]event{{"@1", "10.0.0.1", "join"}, {"@2", "10.0.0.2", "join"}, {"@1", "10.0.0.1", "announce"}, {"@2", "10.0.0.2", "leave"}}, "10.0.0.2", Left, 1},
		"announced":                     {[]event{{"@1", "10.0.0.1", "join"}, {"@1", "10.0.0.1", "announce"}}, "10.0.0.1", Alive, 1},
		"its clock has gone back":       {[]event{{"@2", "10.0.0.2", "join"}, {"@1", "10.0.0.1", "join"}, {"@2", "10.0.0.2", "dead"}}, "10.0.0.1", Alive, 1},
		"back after it was taken dead":  {[]event{{"@1", "10.0.0.1", "join"}, {"@1", "10.0.0.1", "dead"}, {"@1", "10.0.0.1", "join"}}, "10.0.0.1", Alive, 1},
		"three, the middle is the last": {[]event{{"@1", "10.0.0.1", "join"}, {"@3", "10.0.0.3", "join"}, {"@2", "10.0.0.2", "join"}, {"@3", "10.0.0.3", "dead"}}, "10.0.0.2", Alive, 1},
		"without start":                 {[]event{{"", "10.0.0.1", "join"}, {"", "10.0.0.1", "dead"}, {"", "10.0.0.2", "join"}}, "10.0.0.2", Alive, 1},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTestTable()
			for _, neighbor := range []string{"node-0@5", "node-2@5", "aggregator/node-1@5"} {
				m := agentMeta(false)
				if strings.HasPrefix(neighbor, aggregatorPrefix) {
					m.role = identity.Aggregator
				}
				table.NotifyJoin(nodeOf(neighbor, "10.0.0.9", m))
			}
			for _, e := range tc.events {
				n := nodeOf("node-1"+e.start, e.addr, agentMeta(e.what == "leave"))
				switch e.what {
				case "join":
					table.NotifyJoin(n)
				case "announce":
					table.NotifyUpdate(n)
				default:
					table.NotifyLeave(n)
				}
			}
			table.swap()
			s := table.current.Load()
			if m, state := s.Lookup(identity.Agent, "node-1"); m.Addr.String() != tc.addr || state != tc.state {
				t.Errorf("%v %v, want %v %v", m.Addr, state, tc.addr, tc.state)
			}
			if got := len(table.entries) - 3; got != tc.kept || len(s.entries) != 4 {
				t.Errorf("%d kept, want %d; %d in the snapshot", got, tc.kept, len(s.entries))
			}
		})
	}
}

func TestSnapshotStays(t *testing.T) {
	table := newTestTable()
	node := nodeOf("node-1", "10.0.0.2", agentMeta(false))
	table.NotifyJoin(node)
	table.swap()
	before := table.current.Load()
	// memberlist changes its nodes in place.
	node.Addr[15], node.Meta[3] = 99, 99
	table.NotifyLeave(nodeOf("node-1", "10.0.0.2", agentMeta(false)))
	table.swap()
	m, state := before.Lookup(identity.Agent, "node-1")
	if state != Alive || m.Addr.String() != "10.0.0.2" || m.PeerPort != 9810 {
		t.Errorf("the old snapshot has %+v, %v", m, state)
	}
	if _, state := table.current.Load().Lookup(identity.Agent, "node-1"); state != Dead {
		t.Errorf("the new one has %v", state)
	}
	select {
	case <-before.next:
	default:
		t.Error("nobody was told")
	}
}

func TestDepartedAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTestTable()
		go table.publish(t.Context(), DefaultTiming())
		join := func(name string) { table.NotifyJoin(nodeOf(name, "10.0.0.2", agentMeta(false))) }
		leave := func(name string, leaving bool) { table.NotifyLeave(nodeOf(name, "10.0.0.2", agentMeta(leaving))) }
		for _, name := range []string{"alive", "dead", "left", "back"} {
			join(name)
		}
		leave("dead", false)
		leave("left", true)
		leave("back", false)
		time.Sleep(time.Second)
		join("back")
		for _, step := range []struct {
			after      time.Duration
			dead, left State
		}{
			{time.Second, Dead, Left},
			{23 * time.Hour, Dead, Left},
			{3 * time.Hour, Unknown, Unknown},
		} {
			time.Sleep(step.after)
			s := table.current.Load()
			for name, want := range map[string]State{"alive": Alive, "back": Alive, "dead": step.dead, "left": step.left} {
				if _, state := s.Lookup(identity.Agent, name); state != want {
					t.Errorf("%v later %s is %v, want %v", step.after, name, state, want)
				}
			}
		}
	})
}
