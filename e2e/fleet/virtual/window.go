package virtual

import (
	"math"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// The constants of agent/sampler, in seconds.
const (
	meanFor  = 60
	leastAge = 10
	youngFor = 60
)

// A stopwatch finds out over how long a time CPU was measured, which agents put
// into their newest scrape. It follows agent/sampler, whose own is made for one
// agent that goes on, where thousands of nodes ask for slots of the same templates;
// a 0 is always believed here. It has the last measurements by entity.
type stopwatch map[string]timed

// timed is what an entity's CPU said last.
type timed struct {
	start, at    int64 // Unix seconds
	total        uint64
	mean, window uint64 // nanocores, milliseconds; a window of 0 is not known
}

// see goes on to the entity's next sample.
func (w stopwatch) see(s *model.Sample) {
	total, hasTotal := s.Get(model.CPUTotal)
	at, hasTime := s.Get(model.Measured)
	if !hasTotal || !hasTime {
		delete(w, s.Name)
		return
	}
	now := timed{start: s.Start, at: int64(at), total: total}
	before, known := w[s.Name]
	known = known && before.start == s.Start
	age := now.at - s.Start
	switch {
	case known && before.at == now.at:
		return // the same measurement again
	case known && (total < before.total || now.at < before.at):
	case known:
		now.measure(s, total-before.total, now.at-before.at)
	case age >= leastAge && age < youngFor:
		now.measure(s, total, age)
	}
	w[s.Name] = now
}

// measure finds the window in which the counter grew by so many nanoseconds.
func (t *timed) measure(s *model.Sample, grown uint64, seconds int64) {
	if cpu, ok := s.Get(model.CPU); ok && cpu > 0 {
		if took := float64(grown) / float64(cpu); math.Abs(took-float64(seconds)) < 1 {
			t.mean, t.window = cpu, uint64(math.Round(took*1000))
			return
		}
		if seconds > meanFor {
			return
		}
	}
	t.mean, t.window = grown/uint64(seconds), uint64(seconds)*1000
}

// tell puts the window of the sample's measurement into it, which was seen last.
func (w stopwatch) tell(s *model.Sample) {
	t := w[s.Name]
	if t.window == 0 {
		return
	}
	s.Set(model.CPUWindow, t.window)
	if cpu, ok := s.Get(model.CPU); !ok || cpu != t.mean {
		s.Set(model.CPUMean, t.mean)
	}
}
