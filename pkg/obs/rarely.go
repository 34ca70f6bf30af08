package obs

import (
	"sync"
	"time"
)

// Rarely lets a few events per kind through in each interval, for what strangers
// can cause as often as they like. Kinds are few and fixed. It is safe for
// concurrent use.
type Rarely struct {
	burst int
	every time.Duration

	mu    sync.Mutex
	kinds map[string]*window
}

type window struct {
	start           time.Time
	logged, skipped int
}

// NewRarely lets burst events of each kind through in every interval.
func NewRarely(burst int, every time.Duration) *Rarely {
	return &Rarely{burst: burst, every: every, kinds: map[string]*window{}}
}

// Allow tells whether an event of that kind may be logged and, if it is the
// first of an interval, how many were skipped before.
func (r *Rarely) Allow(kind string) (skipped int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	w := r.kinds[kind]
	if w == nil {
		w = &window{start: now}
		r.kinds[kind] = w
	}
	if now.Sub(w.start) >= r.every {
		skipped = w.skipped
		*w = window{start: now}
	}
	if w.logged >= r.burst {
		w.skipped++
		return 0, false
	}
	w.logged++
	return skipped, true
}
