package fullnode

import (
	"math/rand/v2"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A kind is what an entity is; it decides what it shows.
type kind uint8

const (
	theNode kind = iota
	aPod
	aContainer
)

// storage are the metrics that have a time of their own: they are shown anew
// even where cpu and memory are those of the answer before.
const storage = 1<<model.RootFS | 1<<model.Logs | 1<<model.Ephemeral

// paged come in whole pages.
const paged = storage | 1<<model.WorkingSet | 1<<model.Usage | 1<<model.RSS | 1<<model.Swap

const pageBytes = 4096

// An entity is the node, a pod or a container as it goes on from slot to slot.
type entity struct {
	kind     kind
	readings []reading
	at       int     // the reading shown now
	factor   float64 // its amounts, as a part of the recorded ones, for this pass over the recording
	sample   model.Sample
}

// newEntity begins after the reading at offset. Its counters are 0.
func newEntity(k kind, name string, start int64, readings []reading, offset int, factor float64) entity {
	e := entity{kind: k, readings: readings, at: offset, factor: factor}
	e.sample.Name, e.sample.Start = name, start
	return e
}

// restart makes it a new entity with the same name.
func (e *entity) restart(start int64) {
	e.sample = model.Sample{Name: e.sample.Name, Start: start}
}

// step goes on to the next slot.
func (e *entity) step(slot int64, moving bool, rng *rand.Rand) {
	before := &e.readings[e.at]
	e.at++
	if e.at == len(e.readings) {
		e.at = 0
		e.factor *= rng.Float64()*0.2 + 0.9 // the next pass has other amounts, up to 10 % off
		e.factor = min(max(e.factor, 0.5), 2)
	}
	now := &e.readings[e.at]
	v := &e.sample.Values
	first := v.Present() == 0
	for m := range model.NumMetrics {
		if x, ok := now.Get(m); ok && 1<<m&storage != 0 {
			v.Set(m, e.pages(x))
		}
	}
	if !now.fresh && !first && !moving {
		return
	}
	measured := slot - now.lag
	if moving && e.kind != aContainer {
		measured = slot - rng.Int64N(stepSeconds)
	}
	last, _ := v.Get(model.Measured)
	v.Set(model.Measured, uint64(max(measured, e.sample.Start, int64(last)+1)))
	e.gauges(now, rng)
	e.counters(before, now, moving, rng)
}

// stepSeconds is the distance of the recorded answers, about.
const stepSeconds = 15

func (e *entity) pages(bytes uint64) uint64 {
	return uint64(float64(bytes/pageBytes)*e.factor) * pageBytes
}

// gauges sets what goes up and down.
func (e *entity) gauges(now *reading, rng *rand.Rand) {
	for m := range model.NumMetrics {
		x, ok := now.Get(m)
		switch {
		case !ok || m.Counter() || 1<<m&storage != 0:
		case 1<<m&paged != 0:
			e.sample.Set(m, e.pages(x))
		default: // cpu
			e.sample.Set(m, uint64(float64(x)*e.factor*noise(rng, 0.05)))
		}
	}
}

// noise is 1, give or take.
func noise(rng *rand.Rand, by float64) float64 { return 1 + by*(2*rng.Float64()-1) }

// counters adds what was counted since the slot before.
func (e *entity) counters(before, now *reading, moving bool, rng *rand.Rand) {
	grown := func(m model.Metric) uint64 {
		to, _ := now.Get(m)
		from, _ := before.Get(m)
		if to < from || (moving && to == from) { // the recording is over, or stands still
			first, _ := e.readings[0].Get(m)
			last, _ := e.readings[len(e.readings)-1].Get(m)
			return (last - first) / uint64(len(e.readings)-1)
		}
		return to - from
	}
	add := func(m model.Metric, by uint64, noise float64) {
		x, _ := e.sample.Get(m)
		e.sample.Set(m, x+uint64(float64(by)*e.factor*noise))
	}
	spent := grown(model.CPUTotal)
	if moving {
		spent = max(spent, 1_000_000) // 1 ms in 15 s is an idle container's least
	}
	add(model.CPUTotal, spent, noise(rng, 0.05))
	if e.kind == theNode {
		add(model.NetworkRx, grown(model.NetworkRx), noise(rng, 0.05))
		add(model.NetworkTx, grown(model.NetworkTx), noise(rng, 0.05))
	}
	if !moving {
		for m := model.PSICPUSome; m <= model.PSIIOFull; m++ {
			e.sample.Set(m, 0)
		}
		return
	}
	if e.kind == aPod {
		// About 1 byte for 40 ns of CPU time, and a third less sent, as in e2e/fleet.
		add(model.NetworkRx, spent/40, noise(rng, 0.5))
		add(model.NetworkTx, spent/60, noise(rng, 0.5))
	}
	for i, permille := range waiting {
		// At least four microseconds, so that one is left after factor and noise.
		add(model.PSICPUSome+model.Metric(i), max(spent/1_000_000*permille, 4), noise(rng, 0.5))
	}
}

// waiting is how long tasks wait in thousandths of the CPU time spent, made up
// as in e2e/fleet: some and all tasks for CPU, memory and I/O.
var waiting = [...]uint64{25, 8, 3, 1, 7, 2}
