package sampler

import (
	"math"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// doubtBelow is below which true usage a cpu of 0 is believed: what
	// rounds to 0 millicores, in nanocores.
	doubtBelow = 500_000
	// meanFor is over how long a time the mean is the newest rate there is: twice
	// the kubelet's longest interval, in seconds. After a longer one, in which the
	// kubelet did not answer, its own rate is newer.
	meanFor = 60
	// leastAge is how old an entity must be, in seconds, for a mean since its
	// start: times are whole seconds.
	leastAge = 10
	// youngFor is how long after its start an entity's first answer may come
	// before the kubelet has two samples of it: twice its longest interval.
	youngFor = 60 // s
)

// A Stopwatch finds out over how long a time CPU was measured, from one sample of
// an entity to its next. It has the last sample of each, with what it found out.
type Stopwatch map[entity]model.Sample

// entity is an entity over slots; a restarted container is another one.
type entity struct {
	pod   model.PodRef
	name  string
	start int64
}

func entityOf(pod model.PodRef, s *model.Sample) entity { return entity{pod, s.Name, s.Start} }

// See goes on to the next sample of one of the pod's entities, or of the node if
// the pod is empty, and sets its CPUWindow and CPUMean if they are known. A cpu of 0
// that the sample's own counter contradicts is taken out of it: the kubelet reports
// 0 until it has two samples.
func (w Stopwatch) See(pod model.PodRef, s *model.Sample) (doubted bool) {
	total, at, ok := counted(s)
	if !ok {
		return false
	}
	cpu, hasCPU := s.Get(model.CPU)
	zero := hasCPU && cpu == 0
	e := entityOf(pod, s)
	before, known := w[e]
	totalBefore, atBefore, _ := counted(&before)
	var mean, window uint64 // nanocores over milliseconds up to at
	switch age := at - s.Start; {
	case known && at == atBefore: // the same measurement again
		doubted = zero && !before.Has(model.CPU)
		mean, window = measured(&before)
	case known && total < totalBefore: // the counter began anew, who knows when
		doubted = zero && used(total, at-atBefore)
	case known && at < atBefore: // the clock was set back: no telling how much
		doubted = zero && total > totalBefore
	case known:
		doubted = zero && used(total-totalBefore, at-atBefore)
		mean, window = measure(cpu, total-totalBefore, at-atBefore)
	case s.Start > 0 && age >= 0 && age < youngFor:
		doubted = zero && (age == 0 || used(total, age))
		if age >= leastAge {
			mean, window = measure(cpu, total, age)
		}
		// Of what is older and seen for the first time a 0 is believed: that the
		// kubelet has just started, too, is rarer than what was busy and is idle.
	}
	if doubted {
		s.Unset(model.CPU)
	}
	if window > 0 {
		s.Set(model.CPUWindow, window)
		if !hasCPU || doubted || cpu != mean {
			s.Set(model.CPUMean, mean)
		}
	}
	w[e] = *s
	return doubted
}

// counted is what the sample's CPU counter said, and when, in Unix seconds. ok is
// false without both: then there is nothing to tell by.
func counted(s *model.Sample) (total uint64, at int64, ok bool) {
	total, hasTotal := s.Get(model.CPUTotal)
	seconds, hasTime := s.Get(model.Measured)
	return total, int64(seconds), hasTotal && hasTime
}

// measured is what is known of a sample that has been seen; a window of 0 is not
// known.
func measured(s *model.Sample) (mean, window uint64) {
	window, _ = s.Get(model.CPUWindow)
	mean, ok := s.Get(model.CPUMean)
	if !ok {
		mean, _ = s.Get(model.CPU)
	}
	return mean, window
}

// measure finds out over how long the cpu was measured, if it is known: the
// counter has grown by so many nanoseconds in so many seconds, give or take one
// as both times are whole seconds. If the kubelet's own rate, 0 if there is none,
// takes as long to make the counter grow that much, it is the rate between these
// measurements, and tells the time to the millisecond. Otherwise the kubelet has
// measured in between, and its rate is of a time that is not known.
func measure(cpu, grown uint64, seconds int64) (mean, window uint64) {
	if cpu > 0 {
		if took := float64(grown) / float64(cpu); math.Abs(took-float64(seconds)) < 1 {
			return cpu, uint64(math.Round(took * 1000))
		}
		if seconds > meanFor {
			return 0, 0
		}
	}
	if seconds > int64(oldAfter/time.Second) {
		return 0, 0 // that is no rate of now
	}
	return grown / uint64(seconds), uint64(seconds) * 1000
}

// used tells whether so many nanoseconds of CPU time in so many seconds are
// more than what rounds to 0 millicores.
func used(nanos uint64, seconds int64) bool {
	return seconds > 0 && nanos/uint64(seconds) >= doubtBelow
}
