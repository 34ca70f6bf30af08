package fanout

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// ask has each node answer with so many bytes.
func askBytes(t *testing.T, q *Question, nodes, bytes int) []Result {
	t.Helper()
	return q.Do(t.Context(), names(nodes), func(_ context.Context, _ int, take func(int) bool) error {
		if !take(bytes) {
			return &agents.Error{Outcome: coverage.OverBudget, Err: context.Canceled}
		}
		return nil
	})
}

func count(results []Result, o coverage.Outcome) (n int) {
	for _, r := range results {
		if r.Outcome == o {
			n++
		}
	}
	return n
}

func TestBudgets(t *testing.T) {
	for _, tc := range []struct {
		name           string
		query, process int64
		held           int // bytes of another question
		ok             int
		text           []string
	}{
		{"all fits", 1000, 1500, 500, 10, nil},
		{"the question's", 500, 1500, 500, 5, []string{"used up the 500B of one question", "step="}},
		{"the process's", 1000, 1500, 700, 8, []string{"used up the 1500B that this process has", "ask again later"}},
		{"none left at all", 1000, 1500, 1500, 0, []string{"answers to all questions are larger than the 1500B", "ask again later"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _ := newFanout(t, Config{InFlight: 1, QueryBudget: 1 << 20, ProcessBudget: tc.process}, new(nodes))
			other := begin(t, f, 1)
			askBytes(t, other, 1, tc.held)
			f.queryBudget = tc.query
			q := begin(t, f, 10)
			results := askBytes(t, q, 10, 100)
			if ok, over := count(results, coverage.OK), count(results, coverage.OverBudget); ok != tc.ok || ok+over != 10 {
				t.Errorf("%d ok, %d over budget, want %d ok", ok, over, tc.ok)
			}
			for i := range results {
				for _, text := range tc.text {
					if r := results[i]; i == tc.ok && !strings.Contains(r.Err.Error(), text) {
						t.Errorf("error %q, want it to say %q", r.Err, text)
					}
				}
			}
			if s := f.Status(); s.HeldBytes != int64(tc.held+100*tc.ok) || s.Failing != 0 {
				t.Errorf("%d bytes are held, %d nodes are blamed", s.HeldBytes, s.Failing)
			}
			other.End()
			q.End()
			q.End()
			if held := f.Status().HeldBytes; held != 0 {
				t.Errorf("%d bytes are held in the end", held)
			}
		})
	}
}

// A node that sends too much or breaks off leaves nothing behind for which
// others would have to go without.
func TestBytesOfFailedAnswersAreGivenBack(t *testing.T) {
	for _, tc := range []struct {
		outcome coverage.Outcome
		held    int64
	}{
		{coverage.OverBudget, 0},
		{coverage.Timeout, 0},
		{coverage.Refused, 0},
		{coverage.Truncated, 900}, // a part may be shown
	} {
		t.Run(string(tc.outcome), func(t *testing.T) {
			f, _ := newFanout(t, Config{QueryBudget: 1000}, new(nodes))
			q := begin(t, f, 2)
			q.Do(t.Context(), names(2), func(_ context.Context, i int, take func(int) bool) error {
				if i == 0 {
					return nil
				}
				take(500)
				take(400)
				return &agents.Error{Outcome: tc.outcome, Err: context.Canceled}
			})
			if held := f.Status().HeldBytes; held != tc.held {
				t.Errorf("%d bytes are held, want %d", held, tc.held)
			}
			q.End()
		})
	}
}

// All of a question has one deadline, which began with it.
func TestDeadlineOfAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := newFanout(t, Config{}, new(nodes))
		q, err := f.Begin(t.Context(), 1, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer q.End()
		time.Sleep(500 * time.Millisecond)
		began := time.Now()
		q.Do(t.Context(), names(1), func(ctx context.Context, _ int, _ func(int) bool) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if took := time.Since(began); took != 450*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// Questions to many nodes leave something to those to few.
func TestReserve(t *testing.T) {
	f, _ := newFanout(t, Config{InFlight: 1, QueryBudget: 1 << 20, ProcessBudget: 1000}, new(nodes))
	many, few := begin(t, f, fewNodes+1), begin(t, f, 2)
	defer many.End()
	defer few.End()
	if ok := count(askBytes(t, many, fewNodes+1, 100), coverage.OK); ok != 7 {
		t.Errorf("%d answers of 100 bytes within three quarters of 1000", ok)
	}
	if ok := count(askBytes(t, few, 2, 100), coverage.OK); ok != 2 {
		t.Errorf("%d of 2 nodes answered", ok)
	}
	if ok := count(f.Do(t.Context(), names(fewNodes+1), time.Minute, func(context.Context, int, func(int) bool) error { return nil }), coverage.OK); ok != fewNodes+1 {
		t.Errorf("%d of all nodes answered the snapshot", ok)
	}
}

// Where memory is scarce, so are budgets.
func TestBudgetsOfLittleMemory(t *testing.T) {
	before := debug.SetMemoryLimit(400 << 20)
	defer debug.SetMemoryLimit(before)
	for _, tc := range []struct{ cfg, want Config }{
		{Config{}, Config{QueryBudget: 100 << 20, ProcessBudget: 100 << 20}},
		{Config{QueryBudget: 5 << 20}, Config{QueryBudget: 5 << 20, ProcessBudget: 100 << 20}},
		{Config{ProcessBudget: 1 << 30}, Config{QueryBudget: DefaultQueryBudget, ProcessBudget: 1 << 30}},
	} {
		f, _ := newFanout(t, tc.cfg, new(nodes))
		if f.queryBudget != tc.want.QueryBudget || f.processBudget != tc.want.ProcessBudget {
			t.Errorf("%+v: %d and %d bytes", tc.cfg, f.queryBudget, f.processBudget)
		}
	}
	if got := processBudget(math.MaxInt64); got != DefaultProcessBudget {
		t.Errorf("%d bytes without a limit", got)
	}
}

// The coverage names the node: its reason does not.
func TestReason(t *testing.T) {
	long := strings.Repeat("x", maxErr)
	for want, err := range map[string]error{
		"": nil, "no route": errors.New("no route"), "it broke off": &agents.Error{Node: "node-1", Err: errors.New("it broke off")},
		long: errors.New(long), long[:maxErr-3] + "…": errors.New(long + "x"),
	} {
		if got := (&Result{Err: err}).Reason(); got != want {
			t.Errorf("%v: %q", err, got)
		}
	}
}
