package sampler

import (
	"maps"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// oldAfter is after how long a measurement that is repeated is no longer
// one of the slot: the kubelet measures every 10 to 30 s, so after two
// minutes it has stopped. At resolutions over 40 s it is three slots. One that is
// as far in the future was made before the clock was set back.
const oldAfter = 120 * time.Second

// A cleaner takes out of an answer what is not a measurement of the slot. It
// remembers the last one.
type cleaner struct {
	cfg       Config
	nodeStart int64 // of the last full answer
	last      Stopwatch
}

func newCleaner(cfg Config) cleaner {
	return cleaner{cfg: cfg, last: Stopwatch{}}
}

// clean removes pods of other namespaces, samples that are old or of the future, and
// each cpu of 0 that the counter contradicts. It counts the last two.
func (c *cleaner) clean(slot int64, form kubelet.Form, s *model.Scrape) (doubted, old int) {
	c.fixNodeStart(form, s)
	end, far := slot+int64(c.cfg.Resolution/time.Second), int64(max(oldAfter, 3*c.cfg.Resolution)/time.Second)
	current := func(at int64) bool { return at >= slot-far && at <= end+far }
	for i := range s.Groups {
		g := &s.Groups[i]
		if !c.wanted(g.Pod) {
			g.Samples = nil
			continue
		}
		for j := range g.Samples {
			if c.repeat(g.Pod, &g.Samples[j], end) {
				old++
			}
		}
		g.Samples = slices.DeleteFunc(g.Samples, func(v model.Sample) bool {
			at, ok := v.Get(model.Measured)
			isOld := ok && !current(int64(at))
			if isOld {
				old++
			}
			return isOld
		})
		for j := range g.Samples {
			if c.last.See(g.Pod, &g.Samples[j]) {
				doubted++
			}
		}
	}
	s.Groups = slices.DeleteFunc(s.Groups, func(g model.Group) bool { return len(g.Samples) == 0 })
	maps.DeleteFunc(c.last, func(_ entity, v model.Sample) bool {
		_, at, _ := counted(&v)
		return !current(at)
	})
	return doubted, old
}

// repeat puts the last sample in place of one that was measured before it, unless
// the last one is of a time that has yet to come, as the clock was set back since.
func (c *cleaner) repeat(pod model.PodRef, v *model.Sample, end int64) bool {
	_, at, ok := counted(v)
	if !ok {
		return false
	}
	last, known := c.last[entityOf(pod, v)]
	if _, lastAt, _ := counted(&last); !known || at >= lastAt || lastAt > end {
		return false
	}
	*v = last
	return true
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

// remember takes the samples of a slot as the last ones, after a restart of the
// agent.
func (c *cleaner) remember(groups []model.Group) {
	for i := range groups {
		g := &groups[i]
		for j := range g.Samples {
			v := &g.Samples[j]
			if g.Pod == (model.PodRef{}) {
				c.nodeStart = v.Start
			}
			if _, _, ok := counted(v); ok {
				c.last[entityOf(g.Pod, v)] = *v
			}
		}
	}
}
