package fanout

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
)

// begin is a question that was admitted.
func begin(t *testing.T, f *Fanout, nodes int) *Question {
	t.Helper()
	q, err := f.Begin(t.Context(), nodes, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestTooManyQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := newFanout(t, Config{}, new(nodes))
		var inside []*Question
		for range maxFull {
			inside = append(inside, begin(t, f, 5000))
		}
		began := time.Now()
		_, err := f.Begin(t.Context(), 5000, 10*time.Second)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("refused after %v", took)
		}
		var e *apiv1.Error
		if !errors.As(err, &e) || e.Code != apiv1.TooManyRequests || !strings.Contains(e.Message, "4 questions to many nodes are being answered and 0 more wait") {
			t.Errorf("got %v", err)
		}

		// Those that are never refused.
		begin(t, f, fewNodes).End()
		f.Do(t.Context(), names(1000), time.Minute, func(context.Context, int, func(int) bool) error { return nil })
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("they waited for %v", took-5*time.Second)
		}

		// The end of any lets another one in.
		time.AfterFunc(time.Second, inside[2].End)
		q := begin(t, f, 5000)
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("admitted after %v", took)
		}
		q.End()
		q.End() // once more is no harm
		inside[0].End()
		if s := f.Status(); s.Full != maxFull-2 || s.Waiting != 0 {
			t.Errorf("%d are being answered, %d wait", s.Full, s.Waiting)
		}
	})
}

func TestAdmissionIsInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := newFanout(t, Config{}, new(nodes))
		var inside []*Question
		for range maxFull {
			inside = append(inside, begin(t, f, 5000))
		}
		const n = 10
		admitted := make(chan int, n)
		for i := range n {
			go func() {
				if q, err := f.Begin(t.Context(), 5000, time.Hour); err != nil {
					t.Error(err)
				} else {
					admitted <- i
					inside = append(inside, q) // one at a time
				}
			}()
			synctest.Wait()
		}
		if s := f.Status(); s.Waiting != n || s.Full != maxFull {
			t.Errorf("%d are being answered, %d wait", s.Full, s.Waiting)
		}
		for i := range n {
			inside[i].End()
			synctest.Wait()
			if got := <-admitted; got != i || len(admitted) > 0 {
				t.Errorf("question %d came in, %d was next; and %d more", got, i, len(admitted))
			}
		}
	})
}

// The weight is that of the nodes that are asked at a time.
func TestAdmissionWeighs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := newFanout(t, Config{InFlight: 100}, new(nodes))
		for range 5 {
			begin(t, f, 80)
		}
		if _, err := f.Begin(t.Context(), 65, time.Second); err == nil {
			t.Error("400 places were taken, and 65 more")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var e *apiv1.Error
		if _, err := f.Begin(ctx, 65, time.Second); !errors.Is(err, context.Canceled) || errors.As(err, &e) {
			t.Errorf("whoever asked has gone: %v", err)
		}
	})
}

// Once its nodes have been asked, a question lets others in, however long it
// takes to be written.
func TestAskedQuestionsLetOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := newFanout(t, Config{}, new(nodes))
		for range 3 * maxFull {
			q := begin(t, f, 500)
			q.Do(t.Context(), names(500), func(context.Context, int, func(int) bool) error { return nil })
		}
	})
}

// While answers that are still being read hold half of what the process may
// have, no more questions to many nodes are begun.
func TestHeldBytesRefuse(t *testing.T) {
	f, _ := newFanout(t, Config{ProcessBudget: 100}, new(nodes))
	held := f.question(time.Minute)
	_ = held.take(51)
	_, err := f.Begin(t.Context(), fewNodes+1, time.Minute)
	var e *apiv1.Error
	if !errors.As(err, &e) || e.Code != apiv1.TooManyRequests || !strings.Contains(e.Message, "hold 51B of 100B") {
		t.Errorf("error %v", err)
	}
	if _, err := f.Begin(t.Context(), fewNodes, time.Minute); err != nil {
		t.Errorf("a question to few nodes: %v", err)
	}
	held.End()
	q, err := f.Begin(t.Context(), fewNodes+1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	q.End()
}
