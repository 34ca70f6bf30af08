package obs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestChangeLogsChangesOnly(t *testing.T) {
	refused := errors.New("dial 10.0.0.1:10250: refused")
	type step struct {
		kind string
		err  error
		line string // "" is none
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"it works", []step{{"", nil, ""}, {"", nil, ""}}},
		{"it fails from the start and recovers", []step{
			{"", refused, `level=WARN msg=failing what=kubelet err="dial 10.0.0.1:10250: refused"`},
			{"", refused, ""},
			{"", refused, ""},
			{"", nil, "level=INFO msg=recovered what=kubelet after=45s failures=3"},
			{"", nil, ""},
		}},
		{"it fails, then differently", []step{
			{"", nil, ""},
			{"", refused, `level=WARN msg=failing what=kubelet err="dial 10.0.0.1:10250: refused"`},
			{"", errors.New("no route"), `level=WARN msg="failing differently" what=kubelet err="no route" failures=2`},
			{"", nil, "level=INFO msg=recovered what=kubelet after=30s failures=2"},
		}},
		{"it fails again after a recovery", []step{
			{"", refused, `level=WARN msg=failing what=kubelet err="dial 10.0.0.1:10250: refused"`},
			{"", nil, "level=INFO msg=recovered what=kubelet after=15s failures=1"},
			{"", nil, ""},
			{"", refused, `level=WARN msg=failing what=kubelet err="dial 10.0.0.1:10250: refused"`},
			{"", nil, "level=INFO msg=recovered what=kubelet after=15s failures=1"},
		}},
		{"the caller's kind counts, not the text", []step{
			{"unavailable", refused, `level=WARN msg=failing what=kubelet err="dial 10.0.0.1:10250: refused"`},
			{"unavailable", errors.New("no route"), ""},
			{"unauthorized", errors.New("no route"), `level=WARN msg="failing differently" what=kubelet err="no route" failures=3`},
			{"unauthorized", nil, "level=INFO msg=recovered what=kubelet after=45s failures=3"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				c := NewChange(slog.New(slog.NewTextHandler(&out, nil)), "kubelet")
				for i, s := range tt.steps {
					changed := c.SetKind(s.kind, s.err)
					_, line, _ := strings.Cut(strings.TrimSpace(out.String()), " ") // without the time
					out.Reset()
					if line != s.line || changed != (s.line != "") {
						t.Errorf("step %d: changed %v, logged %q, want %q", i, changed, line, s.line)
					}
					time.Sleep(15 * time.Second) // of the bubble's clock: a slot
				}
			})
		})
	}
}

func TestChangeAccessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChange(slog.New(slog.DiscardHandler), "ring")
		if c.Err() != nil || !c.Since().IsZero() || c.Failures() != 0 {
			t.Errorf("before the first attempt: %v, since %v, %d failures", c.Err(), c.Since(), c.Failures())
		}

		c.Set(nil)
		worked := time.Now()
		time.Sleep(time.Minute)
		c.Set(nil)
		if c.Err() != nil || !c.Since().Equal(worked) {
			t.Errorf("while it works: %v, since %v, want %v", c.Err(), c.Since(), worked)
		}

		c.Set(errors.New("full"))
		failed := time.Now()
		time.Sleep(time.Minute)
		broken := errors.New("broken")
		c.Set(broken)
		if !errors.Is(c.Err(), broken) || !c.Since().Equal(failed) || c.Failures() != 2 {
			t.Errorf("while it fails: %v, since %v, want %v, %d failures", c.Err(), c.Since(), failed, c.Failures())
		}
	})
}

func TestTextKind(t *testing.T) {
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{"ephemeral ports", "read 10.0.0.1:43123->10.0.0.1:10250: reset", "read 10.0.0.1:39999->10.0.0.1:10250: reset", true},
		{"durations", "timeout after 812ms", "timeout after 1.5s", true},
		{"numbers inside words", "lookup node-17: no such host", "lookup node-4: no such host", true},
		{"numbers against words", "4 of them", "four of them", false},
		{"sizes", "body has 8388609 bytes", "body has 9000000 bytes", true},
		{"HTTP statuses", "kubelet answered 401: Unauthorized", "kubelet answered 500: Unauthorized", false},
		{"words", "connection refused", "connection reset", false},
		{"not only ASCII", "lookup nœud-1: größer 17", "lookup nœud-2: größer 9", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if a, b := textKind(tt.a), textKind(tt.b); (a == b) != tt.same {
				t.Errorf("%q and %q", a, b)
			}
		})
	}
}

func TestChangeConcurrently(t *testing.T) {
	c := NewChange(slog.New(slog.DiscardHandler), "peer")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c.Set(fmt.Errorf("attempt %c", 'a'+i))
			c.Set(nil)
			_, _, _ = c.Err(), c.Since(), c.Failures()
		})
	}
	wg.Wait()
	if c.Err() != nil || c.Failures() != 0 {
		// Whichever goroutine came last ended with success.
		t.Errorf("%v after %d failures", c.Err(), c.Failures())
	}
}
