package agents

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type key struct{}

// TestAttempt compares an attempt with what package context has, whether anyone
// waits for it or not.
func TestAttempt(t *testing.T) {
	for name, waits := range map[string]bool{"waited for": true, "not waited for": false} {
		for end, do := range map[string]struct {
			do   func(stopParent, stop context.CancelFunc)
			want error
		}{
			"nothing":             {func(_, _ context.CancelFunc) {}, nil},
			"the deadline":        {func(_, _ context.CancelFunc) { time.Sleep(time.Second) }, context.DeadlineExceeded},
			"the parent":          {func(p, _ context.CancelFunc) { p() }, context.Canceled},
			"End":                 {func(_, stop context.CancelFunc) { stop() }, context.Canceled},
			"the parent, then it": {func(p, stop context.CancelFunc) { p(); stop() }, context.Canceled},
		} {
			t.Run(name+", ended by "+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, stopParent := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
					defer stopParent()
					a := NewAttempt(parent, time.Now().Add(time.Second))
					defer a.End()
					if d, ok := a.Deadline(); !ok || time.Until(d) != time.Second || a.Err() != nil || a.Value(key{}) != "value" {
						t.Errorf("deadline %v, %v; error %v, value %v", d, ok, a.Err(), a.Value(key{}))
					}
					var child context.Context
					if waits {
						var stop context.CancelFunc
						child, stop = context.WithCancel(a)
						defer stop()
					}
					do.do(stopParent, a.End)
					synctest.Wait()
					if !errors.Is(a.Err(), do.want) {
						t.Errorf("error %v, want %v", a.Err(), do.want)
					}
					select {
					case <-a.Done(): // from here on someone waits
						if do.want == nil || a.Err() == nil {
							t.Errorf("it is done: %v", a.Err())
						}
					default:
						if do.want != nil {
							t.Error("it is not done")
						}
					}
					if waits && !errors.Is(child.Err(), do.want) {
						t.Errorf("its child has ended with %v", child.Err())
					}
				})
			})
		}
	}
	parent, stop := context.WithTimeout(t.Context(), time.Hour)
	defer stop()
	a := NewAttempt(parent, time.Now().Add(2*time.Hour))
	defer a.End()
	if d, _ := a.Deadline(); time.Until(d) > time.Hour {
		t.Errorf("deadline %v is after the parent's", d)
	}
}
