package fanout

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// A round is one question to the nodes of a test.
type round struct {
	t     *testing.T
	f     *Fanout
	nodes *nodes
	all   []string

	took   time.Duration
	c      coverage.Coverage
	missed map[string]coverage.Missing
}

func newRound(t *testing.T, cfg Config, all ...string) *round {
	r := &round{t: t, nodes: new(nodes), all: all}
	r.f, _ = newFanout(t, cfg, r.nodes)
	return r
}

// ask asks all nodes and checks who was asked, in any order.
func (r *round) ask(want ...string) {
	r.t.Helper()
	r.nodes.forget()
	began := time.Now()
	answers, c := ask(r.t.Context(), r.f, r.nodes, r.all, time.Minute)
	r.took, r.c = time.Since(began), c
	r.missed = check(r.t, r.all, answers, c)
	asked := slices.Sorted(slices.Values(r.nodes.asked))
	if slices.Sort(want); !slices.Equal(asked, want) {
		r.t.Errorf("asked %q, want %q", asked, want)
	}
}

// is checks how a node that did not answer ended.
func (r *round) is(node string, want coverage.Outcome, text ...string) {
	r.t.Helper()
	m := r.missed[node]
	if m.Outcome != want {
		r.t.Errorf("%s: %+v, want %s", node, m, want)
	}
	for _, text := range text {
		if !strings.Contains(m.Err, text) {
			r.t.Errorf("%s: error %q, want it to say %q", node, m.Err, text)
		}
	}
}

// probed are the nodes that were probed since the last question began.
func (r *round) probed() []string {
	r.nodes.mu.Lock()
	defer r.nodes.mu.Unlock()
	return slices.Clone(r.nodes.probed)
}

// due waits until no breaker is open any more, and each is to be probed.
func (r *round) due() {
	r.t.Helper()
	time.Sleep(maxBackoff)
	if s := r.f.Status(); s.Open != 0 || s.Due == 0 {
		r.t.Fatalf("%d are open, %d due", s.Open, s.Due)
	}
}

func TestFailedNodesAreNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRound(t, Config{}, "bad", "good")
		r.nodes.set("bad", hang())
		r.ask("bad", "good")
		r.is("bad", coverage.Timeout, "wait for the answer")
		if r.took != DefaultNodeTimeout {
			t.Errorf("the first took %v", r.took)
		}

		time.Sleep(500 * time.Millisecond)
		r.ask("good")
		r.is("bad", coverage.Timeout, "not asked, asked again in ", "1 failures in a row, the last 500ms ago: bad: wait for the answer")
		if r.took != 0 || r.c.Asked != 1 || len(r.probed()) != 0 {
			t.Errorf("it took %v, asked %d, probed %q", r.took, r.c.Asked, r.probed())
		}

		// A probe that fails holds up nobody but for a moment.
		r.due()
		r.ask("good")
		r.is("bad", coverage.Timeout, "is being probed: 1 failures")
		if r.took != leastGrace || !slices.Equal(r.probed(), []string{"bad"}) {
			t.Errorf("it took %v, probed %q", r.took, r.probed())
		}
		time.Sleep(DefaultNodeTimeout)
		r.ask("good")
		r.is("bad", coverage.Timeout, "asked again in ", "2 failures in a row")

		// Once it is well, it is asked in the very question that has it probed.
		r.nodes.set("bad", nil)
		r.due()
		r.ask("bad", "good")
		r.ask("bad", "good")
		if !r.c.Complete() || len(r.probed()) != 0 {
			t.Errorf("missing %v, probed %q", r.missed, r.probed())
		}
	})
}

func TestWhatOpensBreakers(t *testing.T) {
	for _, tc := range []struct {
		outcome coverage.Outcome
		open    int
	}{
		{coverage.Refused, 1},
		{coverage.Unauthorized, 1},
		{coverage.VersionSkew, 1},
		{coverage.Truncated, 1},
		{coverage.Timeout, 1},
		{coverage.OverBudget, 0},
		{coverage.Dead, 0},
		{coverage.NotInRoster, 0},
	} {
		t.Run(string(tc.outcome), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRound(t, Config{}, "bad", "good")
				r.nodes.set("bad", fail(tc.outcome))
				r.ask("bad", "good")
				r.is("bad", tc.outcome)
				if s := r.f.Status(); s.Open != tc.open || s.Failing != 1 {
					t.Errorf("%d open, %d failing", s.Open, s.Failing)
				}
				want := []string{"bad", "good"}
				r.ask(want[tc.open:]...)
				r.is("bad", tc.outcome)
			})
		})
	}
}

func TestAnotherIncarnationIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRound(t, Config{}, "bad", "good")
		r.nodes.set("bad", hang())
		r.ask("bad", "good")
		r.ask("good")
		r.nodes.is("bad", agents.Incarnation{Start: 2})
		r.ask("bad", "good")
		r.ask("good")

		// One that is gone is asked, to hear from the roster that it is.
		r.nodes.is("bad", agents.Incarnation{})
		r.nodes.set("bad", fail(coverage.Dead))
		r.ask("bad", "good")
		r.is("bad", coverage.Dead)
		r.ask("bad", "good")

		// The failure of one that has been replaced meanwhile is not its successor's.
		r.nodes.is("bad", agents.Incarnation{Start: 4})
		r.nodes.set("bad", func(context.Context, string) (answer, error) {
			return answer{}, &agents.Error{Node: "bad", Outcome: coverage.Truncated, Err: context.Canceled, Who: agents.Incarnation{Start: 3}}
		})
		r.ask("bad", "good")
		r.ask("bad", "good")
	})
}

func TestOneNodeIsAlwaysAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRound(t, Config{}, "bad", "good")
		r.nodes.set("bad", fail(coverage.Refused))
		r.ask("bad", "good")
		one := func() coverage.Coverage {
			_, c := ask(t.Context(), r.f, r.nodes, []string{"bad"}, time.Minute)
			return c
		}
		if c := one(); c.Asked != 1 || c.Missing[0].Outcome != coverage.Refused {
			t.Errorf("%+v", c)
		}
		r.ask("good")
		r.is("bad", coverage.Refused, "2 failures in a row")
		r.nodes.set("bad", nil)
		if c := one(); !c.Complete() {
			t.Errorf("%+v", c)
		}
		r.ask("bad", "good")
	})
}

func TestProbesInTime(t *testing.T) {
	for _, tc := range []struct {
		name           string
		healthy, probe time.Duration
		asked          bool
		took           time.Duration
	}{
		{"before the healthy ones", 500 * time.Millisecond, 200 * time.Millisecond, true, 500 * time.Millisecond},
		{"little later", 500 * time.Millisecond, 540 * time.Millisecond, true, 1080 * time.Millisecond},
		{"later", 500 * time.Millisecond, 560 * time.Millisecond, false, 550 * time.Millisecond},
		{"little later than soon", 0, 20 * time.Millisecond, true, 40 * time.Millisecond},
		{"later than soon", 0, 30 * time.Millisecond, false, leastGrace},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRound(t, Config{}, "bad", "good")
				r.nodes.set("bad", fail(coverage.Refused))
				r.ask("bad", "good")
				r.due()
				r.nodes.set("bad", after(tc.probe, 1))
				r.nodes.set("good", after(tc.healthy, 1))
				if tc.asked {
					r.ask("bad", "good")
				} else {
					r.ask("good")
					r.is("bad", coverage.Refused, "is being probed")
				}
				if r.took != tc.took {
					t.Errorf("took %v, want %v", r.took, tc.took)
				}
				// The next one asks it without a probe.
				synctest.Wait()
				time.Sleep(time.Second)
				r.ask("bad", "good")
				if len(r.probed()) != 0 {
					t.Errorf("probed %q", r.probed())
				}
			})
		})
	}
}

func TestNobodyButFailedNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRound(t, Config{}, "bad-1", "bad-2")
		r.nodes.set("bad-1", fail(coverage.Refused))
		r.nodes.set("bad-2", fail(coverage.Refused))
		r.ask("bad-1", "bad-2")
		r.due()
		r.nodes.set("bad-1", after(700*time.Millisecond, 1))
		r.nodes.set("bad-2", hang())
		r.ask("bad-1")
		r.is("bad-2", coverage.Timeout, "2 failures")
		if r.took != DefaultNodeTimeout {
			t.Errorf("took %v", r.took)
		}
	})
}

// A node that answers probes but no questions is left alone for ever longer.
func TestProbeIsNotEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRound(t, Config{}, "bad", "good")
		r.nodes.set("bad", fail(coverage.Truncated))
		r.ask("bad", "good")
		for range 3 {
			r.due()
			r.nodes.set("bad", nil)
			first := func(ctx context.Context, node string) (answer, error) {
				r.nodes.set("bad", fail(coverage.Truncated))
				return after(0, 1)(ctx, node)
			}
			r.nodes.set("bad", first)
			r.ask("bad", "good")
			r.is("bad", coverage.Truncated)
		}
		if got := r.f.history.nodes["bad"]; got.backoff != 8*firstBackoff || got.failures != 4 {
			t.Errorf("backoff %v after %d failures", got.backoff, got.failures)
		}
	})
}

// Good nodes first, so that bad ones hold up only each other.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRound(t, Config{InFlight: 1}, "large-1", "good-1", "large-2", "good-2")
		for _, node := range r.all {
			if strings.HasPrefix(node, "large") {
				r.nodes.set(node, fail(coverage.OverBudget))
			}
		}
		slices.Sort(r.all)
		r.ask(slices.Clone(r.all)...)
		r.all = append(r.all, "new")
		r.ask(slices.Clone(r.all)...)
		if want := []string{"good-1", "good-2", "new", "large-1", "large-2"}; !slices.Equal(r.nodes.asked, want) {
			t.Errorf("asked %q, want %q", r.nodes.asked, want)
		}
	})
}

// A fleet of which some are bad in every way: the first question takes a node's
// timeout, further ones as long as if the bad ones were not there.
func TestManyBadNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, answer = 5000, 10 * time.Millisecond
		r := newRound(t, Config{}, names(n)...)
		var good []string
		for i, node := range r.all {
			switch i % 100 {
			case 17:
				r.nodes.set(node, hang())
			case 50:
				r.nodes.set(node, after(3*time.Second, 1))
			case 99:
				r.nodes.set(node, fail(coverage.Truncated))
			default:
				r.nodes.set(node, after(answer, 1))
				good = append(good, node)
			}
		}
		r.ask(slices.Clone(r.all)...)
		if r.c.Answered != len(good) || r.took != DefaultNodeTimeout {
			t.Errorf("%d answered in %v", r.c.Answered, r.took)
		}
		r.ask(good...)
		healthy := answer * time.Duration((len(good)+DefaultInFlight-1)/DefaultInFlight)
		if r.c.Answered != len(good) || r.took != healthy {
			t.Errorf("%d answered in %v, want %v", r.c.Answered, r.took, healthy)
		}
		r.due()
		r.ask(good...)
		if r.took > healthy*6/5 {
			t.Errorf("%v while the bad ones are probed, want %v", r.took, healthy)
		}
	})
}

// A node whose turn comes late has what is left of a node's timeout since the
// question began, but at least two thirds of it.
func TestLateNodesHaveLess(t *testing.T) {
	for _, tc := range []struct {
		name        string
		first, took time.Duration
	}{
		{"little less", 400 * time.Millisecond, DefaultNodeTimeout},
		{"two thirds", 1400 * time.Millisecond, 1400*time.Millisecond + DefaultNodeTimeout*2/3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRound(t, Config{InFlight: 1}, "node-1", "node-2")
				r.nodes.set("node-1", after(tc.first, 1))
				r.nodes.set("node-2", hang())
				r.ask("node-1", "node-2")
				r.is("node-2", coverage.Timeout)
				if r.took != tc.took {
					t.Errorf("took %v, want %v", r.took, tc.took)
				}
				if s := r.f.Status(); s.Open != 1 {
					t.Error("it was not blamed")
				}
			})
		})
	}
}

// Two questions at a time have a node probed once.
func TestProbesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRound(t, Config{}, "bad", "good")
		r.nodes.set("bad", fail(coverage.Refused))
		r.ask("bad", "good")
		r.due()
		r.nodes.set("bad", after(500*time.Millisecond, 1))
		r.nodes.set("good", after(time.Second, 1))
		r.nodes.forget()
		var asked sync.WaitGroup
		for range 2 {
			asked.Go(func() {
				if _, c := ask(t.Context(), r.f, r.nodes, r.all, time.Minute); !c.Complete() {
					t.Errorf("%+v", c)
				}
			})
		}
		asked.Wait()
		if len(r.probed()) != 1 || len(r.nodes.asked) != 4 {
			t.Errorf("probed %q, asked %q", r.probed(), r.nodes.asked)
		}
	})
}
