package fanout

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

func TestBackoff(t *testing.T) {
	var shortest, longest time.Duration = maxBackoff, 0
	for range 1000 {
		var b breaker
		now := time.Now()
		for i, want := range []time.Duration{2, 4, 8, 16, 30, 30} {
			want *= time.Second
			b.fail(agents.Incarnation{}, now)
			left := b.until.Sub(now)
			if b.backoff != want || left < want/2 || left > want {
				t.Fatalf("failure %d: open for %v, backoff %v, want half to all of %v", i, left, b.backoff, want)
			}
			if i == 5 {
				shortest, longest = min(shortest, left), max(longest, left)
			}
			now = b.until
		}
	}
	if shortest > 17*time.Second || longest < 28*time.Second {
		t.Errorf("between %v and %v of 1000: not spread over half of the backoff", shortest, longest)
	}
}

func TestBreakerStates(t *testing.T) {
	var b breaker
	now := time.Now()
	is := func(want breakerState) {
		t.Helper()
		if got := b.state(now); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	is(closed)
	b.prove()
	is(closed) // nothing to prove
	b.fail(agents.Incarnation{}, now)
	is(open)
	until := b.until
	b.fail(agents.Incarnation{}, now.Add(firstBackoff/4))
	if b.until != until || b.backoff != firstBackoff {
		t.Error("a failure while it is open prolongs it")
	}
	now = until
	is(due)
	b.prove()
	is(halfOpen)
	b.fail(agents.Incarnation{}, now)
	is(open)
	if b.backoff != 2*firstBackoff {
		t.Errorf("backoff %v after a second failure", b.backoff)
	}
	b.close()
	is(closed)
	b.fail(agents.Incarnation{}, now)
	if b.backoff != firstBackoff {
		t.Errorf("backoff %v after it was closed", b.backoff)
	}
}

func TestJudge(t *testing.T) {
	for o, want := range map[coverage.Outcome]string{
		coverage.OK: "answers", coverage.OverBudget: "answers",
		coverage.Timeout: "fails", coverage.Refused: "fails", coverage.Unauthorized: "fails",
		coverage.VersionSkew: "fails", coverage.Truncated: "fails",
		coverage.Canceled: "", coverage.Dead: "", coverage.NotInRoster: "", coverage.Stale: "",
	} {
		got := ""
		switch answers, fails := judge(o, nil); {
		case answers && fails:
			got = "both"
		case answers:
			got = "answers"
		case fails:
			got = "fails"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", o, got, want)
		}
	}
	if answers, fails := judge(coverage.Truncated, &agents.Error{Outcome: coverage.Truncated, Part: true}); !answers || fails {
		t.Error("an agent that says that it could only read a part does not answer")
	}
}
