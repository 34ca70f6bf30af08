package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// patience is far more than anything takes, for machines that are busy.
const patience = 2 * time.Minute

// small is for a fleet that fits any machine: LocalTiming, but probes with the
// patience of the real thing. On a busy machine a probe of LocalTiming may fail,
// and a member be suspected with reason. With the race detector such a fleet takes
// half of a core; members that get less than that may never agree, so no two fleets
// are up at the same time.
func small() Config {
	timing := roster.LocalTiming()
	timing.ProbeInterval, timing.ProbeTimeout = time.Second, roster.DefaultTiming().ProbeTimeout
	return Config{Agents: 48, Aggregators: 2, Timing: timing}
}

// halves are the members by side, half of the agents and of the aggregators on
// each.
func halves(f *Fleet) (sides [2][]*Member) {
	for i, m := range f.all() {
		sides[i%2] = append(sides[i%2], m)
	}
	return sides
}

// zone is two fifths of the agents, and all others.
func zone(f *Fleet) (sides [2][]*Member) {
	n := len(f.Agents()) * 2 / 5
	return [2][]*Member{f.Agents()[:n], append(append([]*Member(nil), f.Agents()[n:]...), f.Aggregators()...)}
}

// cut puts members on a side of their own.
func cut(f *Fleet, side []*Member) {
	var addrs []netip.Addr
	for _, m := range side {
		addrs = append(addrs, m.Addr())
	}
	f.Network.Partition(addrs...)
}

// apart tells whether nobody has anybody of the other side in its roster.
func apart(sides [2][]*Member) (bool, string) {
	for i, side := range sides {
		for _, m := range side {
			if found, _ := m.Finds(sides[1-i]); found > 0 {
				return false, fmt.Sprintf("%v still finds %d", m.Peer, found)
			}
		}
	}
	return true, ""
}

func TestMassStart(t *testing.T) {
	f := start(t, small())
	t.Logf("all know all after %v", await(t, patience, "all know all", f.AllKnow))
}

// Nobody is probed, so nobody is taken for dead, rightly or wrongly: whoever
// starts again is found by its join alone, even if it was killed.
func TestRollingRestart(t *testing.T) {
	cfg := small()
	cfg.Timing.ProbeInterval = time.Hour
	f := start(t, cfg)
	await(t, patience, "all know all", f.AllKnow)
	seen := watched(t, f, 50*time.Millisecond, func() {
		rolling(t, f, 200*time.Millisecond, 3, func() {
			await(t, patience, "the aggregators know all", f.AggregatorsKnow)
		})
	})
	t.Log(seen)
	if seen.Looks < 10 || seen.Lowest > .95 {
		t.Errorf("nothing was seen: %v", seen)
	}
}

func TestPartition(t *testing.T) {
	for name, split := range map[string]func(*Fleet) [2][]*Member{"halves": halves, "a zone without aggregator": zone} {
		t.Run(name, func(t *testing.T) {
			cfg := small()
			// So that it is not gossip to the dead that heals, which works in a short
			// partition only.
			cfg.Timing.GossipToTheDead = time.Nanosecond
			f := start(t, cfg)
			await(t, patience, "all know all", f.AllKnow)
			sides := split(f)
			cut(f, sides[0])
			await(t, patience, "the sides give each other up", func() (bool, string) { return apart(sides) })
			f.Network.Heal()
			t.Logf("the aggregators know all after %v", await(t, patience, "the aggregators know all", f.AggregatorsKnow))
			t.Logf("all know all after another %v", await(t, patience, "all know all", f.AllKnow))
		})
	}
}
