package resource

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Long lists wait for each other, and not for ever; short ones don't.
func TestRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRooms()
		first, end := context.WithCancel(t.Context())
		if err := r.take(first, 10*maxObjects); err != nil { // more than there is room for
			t.Fatal(err)
		}
		if err := r.take(t.Context(), longList-1); err != nil {
			t.Error(err)
		}
		limited, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.take(limited, longList); err == nil {
			t.Error("two long lists at a time")
		}
		waiting, cancel := context.WithCancel(t.Context())
		defer cancel()
		got := make(chan error)
		go func() { got <- r.take(waiting, maxObjects) }()
		synctest.Wait()
		end()
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}
