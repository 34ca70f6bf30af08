package sampler

import (
	"math"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// oldAfter is after how long a measurement that is repeated is no longer
	// one of the slot: the kubelet measures every 10 to 30 s, so after two
	// minutes it has stopped. At resolutions over 40 s it is three slots.
	oldAfter = 120 * time.Second
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

// A cleaner takes out of an answer what is not a measurement of the slot. It
// remembers the last one.
type cleaner struct {
	cfg       Config
	nodeStart int64 // of the last full answer
	last      map[entity]measurement
}

// entity is an entity over slots; a restarted container is another one.
type entity struct {
	pod   model.PodRef
	name  string
	start int64
}

// measurement is what an entity's cpu said last.
type measurement struct {
	at      int64 // Unix seconds
	total   uint64
	doubted bool
	mean    uint64 // nanocores over the window
	window  uint64 // milliseconds up to at; 0: not known
}

func newCleaner(cfg Config) cleaner {
	return cleaner{cfg: cfg, last: map[entity]measurement{}}
}

// clean removes pods of other namespaces, samples that are old, and each cpu
// of 0 that the counter contradicts. It counts the last two.
func (c *cleaner) clean(slot int64, form kubelet.Form, s *model.Scrape) (doubted, old int) {
	c.fixNodeStart(form, s)
	limit := slot - int64(max(oldAfter, 3*c.cfg.Resolution)/time.Second)
	now := make(map[entity]measurement, len(c.last))
	for i := range s.Groups {
		g := &s.Groups[i]
		if !c.wanted(g.Pod) {
			g.Samples = nil
			continue
		}
		g.Samples = slices.DeleteFunc(g.Samples, func(v model.Sample) bool {
			at, ok := v.Get(model.Measured)
			isOld := ok && int64(at) < limit
			if isOld {
				old++
			}
			return isOld
		})
		for j := range g.Samples {
			v := &g.Samples[j]
			e := entity{g.Pod, v.Name, v.Start}
			m, ok := c.judge(e, v)
			if !ok {
				continue
			}
			now[e] = m
			if m.doubted {
				v.Unset(model.CPU)
				doubted++
			}
			m.tell(v)
		}
	}
	s.Groups = slices.DeleteFunc(s.Groups, func(g model.Group) bool { return len(g.Samples) == 0 })
	c.last = now
	return doubted, old
}

// fixNodeStart gives the node in light answers the start of the full ones: in
// the light form the kubelet reports the root cgroup's creation instead of the
// boot, and the node would seem to restart with every change of form.
func (c *cleaner) fixNodeStart(form kubelet.Form, s *model.Scrape) {
	if len(s.Groups) == 0 || s.Groups[0].Pod != (model.PodRef{}) || len(s.Groups[0].Samples) == 0 {
		return
	}
	node := &s.Groups[0].Samples[0]
	if form == kubelet.Full {
		c.nodeStart = node.Start
	} else if c.nodeStart != 0 {
		node.Start = c.nodeStart
	}
}

func (c *cleaner) wanted(pod model.PodRef) bool {
	return pod == (model.PodRef{}) || len(c.cfg.Namespaces) == 0 || slices.Contains(c.cfg.Namespaces, pod.Namespace)
}

// judge tells what the sample's cpu says, and whether it is a 0 that its own
// counter contradicts: the kubelet reports 0 until it has two samples. ok is
// false if there is no counter to tell by.
func (c *cleaner) judge(e entity, v *model.Sample) (m measurement, ok bool) {
	total, hasTotal := v.Get(model.CPUTotal)
	at, hasTime := v.Get(model.Measured)
	if !hasTotal || !hasTime {
		return m, false
	}
	m = measurement{at: int64(at), total: total}
	cpu, hasCPU := v.Get(model.CPU)
	zero := hasCPU && cpu == 0
	before, known := c.last[e]
	age := m.at - v.Start
	switch {
	case known && before.at == m.at:
		m, m.doubted = before, zero && before.doubted // the same measurement again
	case known && total < before.total: // the counter began anew, who knows when
		m.doubted = zero && used(total, m.at-before.at)
	case known && m.at < before.at: // the clock was set back: no telling how much
		m.doubted = zero && total > before.total
	case known:
		m.doubted = zero && used(total-before.total, m.at-before.at)
		m.measure(cpu, hasCPU && !m.doubted, total-before.total, m.at-before.at)
	case v.Start > 0 && age >= 0 && age < youngFor:
		m.doubted = zero && (age == 0 || used(total, age))
		if age >= leastAge {
			m.measure(cpu, hasCPU && !m.doubted, total, age)
		}
	}
	return m, true
}

// measure finds out over how long the cpu was measured, if it is known: the
// counter has grown by so many nanoseconds in so many seconds, give or take one
// as both times are whole seconds. If the kubelet's own rate takes as long to
// make the counter grow that much, it is the rate between these measurements,
// and tells the time to the millisecond. Otherwise the kubelet has measured in
// between, and its rate is of a time that is not known.
func (m *measurement) measure(cpu uint64, hasCPU bool, grown uint64, seconds int64) {
	if hasCPU && cpu > 0 {
		if took := float64(grown) / float64(cpu); math.Abs(took-float64(seconds)) < 1 {
			m.mean, m.window = cpu, uint64(math.Round(took*1000))
			return
		}
		if seconds > meanFor {
			return
		}
	}
	if seconds > int64(oldAfter/time.Second) {
		return // that is no rate of now
	}
	m.mean, m.window = grown/uint64(seconds), uint64(seconds)*1000
}

// tell puts the window into the sample, and the mean if it is another one than
// the kubelet's rate.
func (m *measurement) tell(v *model.Sample) {
	if m.window == 0 {
		return
	}
	v.Set(model.CPUWindow, m.window)
	if cpu, ok := v.Get(model.CPU); !ok || cpu != m.mean {
		v.Set(model.CPUMean, m.mean)
	}
}

// used tells whether so many nanoseconds of CPU time in so many seconds are
// more than what rounds to 0 millicores.
func used(nanos uint64, seconds int64) bool {
	return seconds > 0 && nanos/uint64(seconds) >= doubtBelow
}

// remember takes the measurements of a scrape as the last ones, after a
// restart of the agent.
func (c *cleaner) remember(s *model.Scrape) {
	for i := range s.Groups {
		g := &s.Groups[i]
		for j := range g.Samples {
			v := &g.Samples[j]
			if g.Pod == (model.PodRef{}) {
				c.nodeStart = v.Start
			}
			total, hasTotal := v.Get(model.CPUTotal)
			at, hasTime := v.Get(model.Measured)
			if hasTotal && hasTime {
				c.last[entity{g.Pod, v.Name, v.Start}] = measurement{at: int64(at), total: total, doubted: !v.Has(model.CPU)}
			}
		}
	}
}
