package network

import (
	"sync"
	"time"
)

// A deadline is a time at which waiting ends. It works as that of net.Pipe
// does. Until it is set, it never comes.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	over  chan struct{}
}

func newDeadline() *deadline { return &deadline{over: make(chan struct{})} }

// passed returns a channel that is closed when the deadline has passed, even if
// it is moved meanwhile. A deadline that has passed and is set again has a new
// channel.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

// set moves the deadline; the zero time means never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.over // it fires right now, and must not do so later
	}
	d.timer = nil

	past := false
	select {
	case <-d.over:
		past = true
	default:
	}
	wait := time.Until(t)
	if !t.IsZero() && wait <= 0 {
		if !past {
			close(d.over)
		}
		return
	}
	if past {
		d.over = make(chan struct{})
	}
	if !t.IsZero() {
		over := d.over
		d.timer = time.AfterFunc(wait, func() { close(over) })
	}
}
