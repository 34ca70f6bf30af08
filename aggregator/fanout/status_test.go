package fanout

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker := new(nodes)
		f, _ := newFanout(t, Config{}, asker)
		all := names(300)
		for i, n := range all[:150] {
			asker.set(n, fail(coverage.Refused))
			if i == 7 {
				asker.set(n, hang())
			}
		}
		for i, n := range all[150:] {
			asker.set(n, after(time.Duration(i)*time.Millisecond, 1))
		}
		began := time.Now()
		ask(t.Context(), f, asker, all, time.Minute)
		ask(t.Context(), f, asker, all[7:8], time.Minute)
		s := f.Status()
		if s.Questions != 2 || s.Nodes != 300 || s.Failing != 150 || s.Places != DefaultInFlight || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
		if s.Answers[coverage.OK] != 150 || s.Answers[coverage.Refused] != 149 || s.Answers[coverage.Timeout] != 2 {
			t.Errorf("answers %v", s.Answers)
		}
		if len(s.FailingNodes) != maxFailing || len(s.SlowestNodes) != maxSlowest {
			t.Fatalf("%d failing, %d slowest", len(s.FailingNodes), len(s.SlowestNodes))
		}
		worst, next := s.FailingNodes[0], s.FailingNodes[1]
		if worst.Node != "node-0007" || worst.Failures != 2 || worst.Outcome != coverage.Timeout || worst.LatencyMs != 1500 || worst.LastError == "" {
			t.Errorf("worst %+v", worst)
		}
		if next.Node != "node-0000" || next.Failures != 1 || next.Outcome != coverage.Refused {
			t.Errorf("next %+v", next)
		}
		if slow := s.SlowestNodes[0]; slow.Node != "node-0299" || slow.LatencyMs != 149 || !slow.At.Equal(began.Add(DefaultNodeTimeout)) || slow.Failures != 0 {
			t.Errorf("slowest %+v", slow)
		}

		// One that answers again keeps its last error.
		asker.set("node-0007", nil)
		ask(t.Context(), f, asker, all[7:8], time.Minute)
		if s = f.Status(); s.Failing != 149 || s.FailingNodes[0].Failures != 1 {
			t.Errorf("failing %d, %+v", s.Failing, s.FailingNodes[0])
		}

		// Nodes that are not asked any more are forgotten.
		time.Sleep(forgetAfter)
		ask(t.Context(), f, asker, all[:2], time.Minute)
		if s = f.Status(); s.Nodes != 2 {
			t.Errorf("%d nodes are remembered", s.Nodes)
		}
	})
}

// A timeout that the question cut short says nothing about the node.
func TestShortQuestionsBlameNobody(t *testing.T) {
	for _, tc := range []struct {
		name     string
		question time.Duration
		failing  int
	}{
		{"half the node's time", time.Second, 1},
		{"less", 500 * time.Millisecond, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asker := new(nodes)
				asker.set("node-1", hang())
				f, _ := newFanout(t, Config{}, asker)
				ask(t.Context(), f, asker, []string{"node-1"}, tc.question)
				if s := f.Status(); s.Failing != tc.failing {
					t.Errorf("%d failing, want %d", s.Failing, tc.failing)
				}
			})
		})
	}
}

func TestStatusOfNothingIsJSON(t *testing.T) {
	f, _ := newFanout(t, Config{}, new(nodes))
	got, err := json.Marshal(f.Status())
	const want = `{"places":256,"inFlight":0,"full":0,"waiting":0,"heldBytes":0,"queryBudget":268435456,"processBudget":536870912,` +
		`"questions":0,"answers":{},"nodes":0,"failing":0,"open":0,"due":0,"halfOpen":0,"probing":0,"failingNodes":[],"slowestNodes":[]}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}
