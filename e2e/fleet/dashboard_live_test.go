package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/dashboard"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// patientNode is how long an aggregator waits for a node that is only slow: so long
// that a busy machine makes no difference.
const patientNode = 20 * time.Second

// A viewer looks at one aggregator's graphs of pods and of nodes, and takes down what it
// was told.
type viewer struct {
	t      *testing.T
	client *dashboard.Client
	target dashboard.Target
	told   map[dashboard.Metric]map[string]map[int64]uint64
	now    map[dashboard.Metric]map[string]dashboard.Series // as it was told last
}

func newViewer(t *testing.T, a *aggregator, target dashboard.Target) *viewer {
	v := &viewer{
		t: t, client: boardOf(t, a), target: target,
		told: map[dashboard.Metric]map[string]map[int64]uint64{}, now: map[dashboard.Metric]map[string]dashboard.Series{},
	}
	for _, m := range []dashboard.Metric{dashboard.CPU, dashboard.Memory} {
		v.told[m] = map[string]map[int64]uint64{}
	}
	return v
}

// look asks once. No answer may be an error, or say something else than before.
func (v *viewer) look() {
	v.t.Helper()
	for m, told := range v.told {
		now, err := v.client.Pods(v.t.Context(), v.target.Namespace, v.target.Pods, m)
		if err != nil {
			v.t.Fatal(err)
		}
		for _, name := range v.target.Nodes {
			s, known, err := v.client.Node(v.t.Context(), name, m)
			if err != nil {
				v.t.Fatal(err)
			}
			if known {
				now[name] = s
			}
		}
		for name, s := range now {
			if told[name] == nil {
				told[name] = map[int64]uint64{}
			}
			for _, p := range s {
				if was, ok := told[name][p.Second]; ok && was != p.Value {
					v.t.Errorf("%s of %s in slot %d is %d, and was %d", m, name, p.Second, p.Value, was)
				}
				told[name][p.Second] = p.Value
			}
		}
		v.now[m] = now
	}
}

// until looks until something is to be seen; the deadline only ends a test that has
// failed.
func (v *viewer) until(what string, seen func() bool) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 2*time.Minute)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for v.look(); !seen(); v.look() {
		select {
		case <-again.C:
		case <-ctx.Done():
			v.t.Fatalf("never: %s: pods end at %v, nodes at %v", what, v.ends(v.target.Pods), v.ends(v.target.Nodes))
		}
	}
}

// ends are the last slots of series, with how many end there; 0 is no series.
func (v *viewer) ends(names []string) map[int64]int {
	ends := map[int64]int{}
	for _, name := range names {
		ends[v.now[dashboard.CPU][name].Last()]++
	}
	return ends
}

// last is the last slot of all series, or 0 if they have different ones.
func (v *viewer) last(names []string) int64 {
	ends := v.ends(names)
	if len(ends) != 1 {
		return 0
	}
	return slices.Collect(maps.Keys(ends))[0]
}

// judge compares all that was told with what was measured, and wants so many points.
func (v *viewer) judge(least int) {
	v.t.Helper()
	seconds, compared := int64(v.target.Resolution/time.Second), 0
	for m, told := range v.told {
		from, to := int64(1)<<62, int64(0)
		for _, points := range told {
			for slot := range points {
				from, to = min(from, slot), max(to, slot)
			}
		}
		edge := 3 * seconds
		truth, err := v.target.Truth.Pods(v.t.Context(), v.target.Namespace, m, from-edge, to+edge)
		if err != nil {
			v.t.Fatal(err)
		}
		nodes, err := v.target.Truth.Nodes(v.t.Context(), m, from-edge, to+edge)
		if err != nil {
			v.t.Fatal(err)
		}
		maps.Copy(truth, nodes)
		for name, points := range told {
			for slot, got := range points {
				want, whole := truth[name].Whole(slot, seconds)
				if whole {
					compared++
				}
				if whole && got != want {
					v.t.Errorf("%s of %s in slot %d is told as %d, measured was %d", m, name, slot, got, want)
				}
			}
		}
	}
	if compared < least {
		v.t.Errorf("only %d points could be compared", compared)
	}
}

// TestDashboardLive looks at both aggregators, of which the second is patient with
// nodes, while one node is silent, or slow, and while one of them starts again.
func TestDashboardLive(t *testing.T) {
	cfg := virtualConfig(51, 6, 2)
	cfg.Resolution, cfg.Pods = 3*time.Second, 12
	f, truth := startVirtual(t, cfg, func(f *Fleet) { f.aggregators[1].cfg.Fanout.NodeTimeout = patientNode })
	target := f.aBoard(t, truth, "checkout")
	of := truth.podsOf("checkout", cfg.Resolution)
	victim := "node-2"
	var others, its []string // pods that are not on it, and that are
	for _, name := range target.Pods {
		if of[name] == victim {
			its = append(its, name)
		} else {
			others = append(others, name)
		}
	}
	if len(its) == 0 || len(others) == 0 {
		t.Fatalf("%d pods are on %s, %d are not", len(its), victim, len(others))
	}
	nodes := slices.DeleteFunc(slices.Clone(target.Nodes), func(name string) bool { return name == victim })
	seconds := int64(cfg.Resolution / time.Second)
	set := func(t *testing.T, fault string) {
		t.Helper()
		parsed, err := virtual.ParseFault(fault)
		if err == nil {
			err = f.virtual.SetFault([]string{victim}, parsed)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// whole waits until all series end alike, later than at a slot.
	whole := func(v *viewer, after int64) int64 {
		v.t.Helper()
		v.until(fmt.Sprintf("all of a slot after %d", after), func() bool {
			return v.last(target.Pods) > after && v.last(target.Nodes) > after
		})
		return v.last(target.Pods)
	}

	t.Run("silent", func(t *testing.T) {
		v := newViewer(t, f.aggregators[0], target)
		before := whole(v, 0)
		set(t, "blackhole")
		defer set(t, "none")
		since := model.SlotOf(time.Now(), cfg.Resolution)
		v.until("the others go on", func() bool {
			return v.last(others) > since+2*seconds && v.last(nodes) > since+2*seconds
		})
		for _, name := range its {
			if last := v.now[dashboard.CPU][name].Last(); last > since {
				t.Errorf("of %s a slot is told, %d, in which its node was silent", name, last)
			}
		}
		set(t, "none")
		whole(v, before)
		v.judge(1000)
	})
	t.Run("slow", func(t *testing.T) {
		v := newViewer(t, f.aggregators[1], target)
		before := whole(v, 0)
		set(t, "slow:600ms")
		defer set(t, "none")
		v.until("some slots have been told", func() bool {
			if ends := v.ends(target.Pods); len(ends) > 1 {
				t.Errorf("pods end at %v", ends)
			}
			return v.last(target.Pods) > before+5*seconds
		})
		set(t, "none")
		v.judge(1000)
	})
	t.Run("restart", func(t *testing.T) {
		stays, starts := newViewer(t, f.aggregators[1], target), newViewer(t, f.aggregators[0], target)
		starts.told = stays.told // they say the same
		before := whole(stays, whole(starts, 0)-1)
		if err := f.aggregators[0].stop(true); err != nil {
			t.Fatal(err)
		}
		before = whole(stays, before)
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		if err := f.aggregators[0].start(ctx); err != nil {
			t.Fatal(err)
		}
		after := whole(starts, before)
		whole(stays, after-1) // so that its window begins no sooner
		for m, series := range stays.now {
			for name, s := range series {
				for _, p := range s {
					if _, told := starts.now[m][name].At(p.Second); !told && p.Second <= after {
						t.Errorf("the one that started does not tell %s of %s in slot %d", m, name, p.Second)
					}
				}
			}
		}
		stays.judge(1000)
		if err := f.aggregators[0].stop(false); err != nil {
			t.Error(err)
		}
	})
}
