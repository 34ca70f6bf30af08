package fanout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

func TestAsk(t *testing.T) {
	const timeout = 5 * time.Second
	type outcomes map[coverage.Outcome]int
	for _, tc := range []struct {
		name  string
		nodes int
		cfg   Config
		ways  func(i int) way
		want  outcomes
		asked int
		took  time.Duration
	}{
		{name: "nobody", want: outcomes{}},
		{name: "all at once", nodes: 1000, want: outcomes{coverage.OK: 1000}, asked: 1000},
		{
			name: "in turns", nodes: 1000, cfg: Config{InFlight: 100}, ways: func(int) way { return after(20*time.Millisecond, 1) },
			want: outcomes{coverage.OK: 1000}, asked: 1000, took: 200 * time.Millisecond,
		},
		{
			name: "every tenth hangs", nodes: 1000, ways: func(i int) way {
				if i%10 == 0 {
					return hang()
				}
				return nil
			},
			want: outcomes{coverage.OK: 900, coverage.Timeout: 100}, asked: 1000, took: DefaultNodeTimeout,
		},
		{
			name: "all kinds", nodes: 6, ways: func(i int) way {
				return []way{
					nil, fail(coverage.Refused), fail(coverage.Dead), fail(coverage.NotInRoster), fail(coverage.Unauthorized),
					func(context.Context, string) (apiv1.NodeAnswer, error) {
						return apiv1.NodeAnswer{}, errors.New(strings.Repeat("é", maxErr))
					},
				}[i]
			},
			want: outcomes{
				coverage.OK: 1, coverage.Refused: 1, coverage.Dead: 1, coverage.NotInRoster: 1,
				coverage.Unauthorized: 1, coverage.Truncated: 1,
			},
			asked: 4, // nobody can ask the dead, or those who are not here
		},
		{
			// 1.5 s, then two thirds of it three times, then 90 % of what is left:
			// 450 ms, 45 ms, and the next would be less than 5 ms.
			name: "more hang than there are places", nodes: 100, cfg: Config{InFlight: 10}, ways: func(i int) way {
				if i < 90 {
					return hang()
				}
				return nil
			},
			want: outcomes{coverage.Timeout: 100}, asked: 60, took: 4995 * time.Millisecond,
		},
		{
			name: "over the budget", nodes: 10, cfg: Config{InFlight: 1, QueryBudget: 350}, ways: func(int) way { return after(0, 100) },
			want: outcomes{coverage.OK: 3, coverage.OverBudget: 7}, asked: 3, // there is no room for a fourth
		},
		{
			name: "exactly the budget", nodes: 10, cfg: Config{QueryBudget: 1000}, ways: func(int) way { return after(0, 100) },
			want: outcomes{coverage.OK: 10}, asked: 10,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all, asker := names(tc.nodes), new(nodes)
				for i, n := range all {
					if tc.ways != nil {
						asker.set(n, tc.ways(i))
					}
				}
				f, reg := newFanout(t, tc.cfg, asker)
				began := time.Now()
				answers, c := ask(t.Context(), f, asker, all, timeout)
				took := time.Since(began)
				check(t, all, answers, c)
				got := outcomes{}
				if c.Answered > 0 {
					got[coverage.OK] = c.Answered
				}
				for _, m := range c.Missing {
					got[m.Outcome]++
				}
				if fmt.Sprint(got) != fmt.Sprint(tc.want) {
					t.Errorf("outcomes %v, want %v", got, tc.want)
				}
				if c.Asked != tc.asked {
					t.Errorf("asked %d, want %d", c.Asked, tc.asked)
				}
				if d := took - tc.took; d < -time.Millisecond || d > time.Millisecond {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				if bound := f.places; asker.highest > bound {
					t.Errorf("%d in flight, at most %d", asker.highest, bound)
				}
				checkMetrics(t, reg, got)
			})
		})
	}
}

// checkMetrics compares the counters of answers.
func checkMetrics(t *testing.T, reg *prometheus.Registry, want map[coverage.Outcome]int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "rollcall_fanout_answers_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			o := coverage.Outcome(m.GetLabel()[0].GetValue())
			if n := int(m.GetCounter().GetValue()); n != want[o] {
				t.Errorf("counter of %s is %d, want %d", o, n, want[o])
			}
		}
	}
}

func TestTimeouts(t *testing.T) {
	for _, tc := range []struct {
		name             string
		question, caller time.Duration
		want             time.Duration
		asked            int
	}{
		{"the node's", 5 * time.Second, time.Hour, DefaultNodeTimeout, 1},
		{"90 % of the question's", time.Second, time.Hour, 900 * time.Millisecond, 1},
		{"90 % of the caller's", 5 * time.Second, time.Second, 900 * time.Millisecond, 1},
		{"too little to ask", leastTimeout, time.Hour, 0, 0},
		{"over before it began", -1, time.Hour, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asker := new(nodes)
				asker.set("node-1", hang())
				f, _ := newFanout(t, Config{}, asker)
				ctx, cancel := context.WithTimeout(t.Context(), tc.caller)
				defer cancel()
				began := time.Now()
				answers, c := ask(ctx, f, asker, []string{"node-1"}, tc.question)
				m := check(t, []string{"node-1"}, answers, c)["node-1"]
				if took := time.Since(began); took != tc.want || m.Elapsed != tc.want || m.Outcome != coverage.Timeout || c.Asked != tc.asked {
					t.Errorf("asked %d, %+v after %v, want %v", c.Asked, m, took, tc.want)
				}
			})
		})
	}
}

func TestCallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, asker := names(100), new(nodes)
		for i, n := range all {
			if i >= 5 {
				asker.set(n, hang())
			}
		}
		f, _ := newFanout(t, Config{InFlight: 20}, asker)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		answers, c := ask(ctx, f, asker, all, time.Minute)
		if took := time.Since(began); took != time.Second {
			t.Errorf("returned after %v", took)
		}
		for _, m := range check(t, all, answers, c) {
			if m.Outcome != coverage.Canceled || m.Elapsed != time.Second {
				t.Errorf("%+v", m)
			}
		}
		if c.Answered != 5 || c.Asked != 25 || asker.now != 0 {
			t.Errorf("answered %d, asked %d, still asking %d", c.Answered, c.Asked, asker.now)
		}
		if s := f.Status(); s.Failing != 0 || s.Nodes != 5 {
			t.Errorf("nodes are blamed for it: %+v", s.FailingNodes)
		}
	})
}

// BenchmarkDo is what the fan-out itself costs: the nodes answer at once.
func BenchmarkDo(b *testing.B) {
	const n = 5000
	all := names(n)
	f, _ := newFanout(b, Config{}, new(nodes))
	b.ReportAllocs()
	for b.Loop() {
		results := f.Do(b.Context(), all, 5*time.Second, func(_ context.Context, _ int, take func(int) bool) error {
			take(600)
			return nil
		})
		if c := Coverage(all, results); !c.Complete() {
			b.Fatal("incomplete")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/node")
}
