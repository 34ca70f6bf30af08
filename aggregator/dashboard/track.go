package dashboard

import (
	"math"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/series"
)

// columns are the metrics that are asked for, in the order of the constants below:
// two that are shown, and two from which the gaps of the first are filled.
var columns = []model.Metric{model.CPU, model.WorkingSet, model.CPUTotal, model.Measured}

const (
	colCPU = iota
	colMemory
	colTotal
	colMeasured
)

// maxGap is how many slots in a row are filled: one or two failures of a kubelet or a
// connection are no gap in a sum over pods, a node that was gone is.
const maxGap = 2

// none is a slot without a value.
const none = math.MaxUint64

// A track is the last slots of one container, or of a node. All that is shown later
// is decided when a sample comes in: slots come in their order.
type track struct {
	name  string
	start int64 // of the container, in Unix seconds, as of its last sample
	last  int64 // the slot of the last cell, in Unix seconds; 0: nothing has come yet
	// cpu is in millicores, memory in bytes: a cell for each slot up to last.
	cpu, memory []uint64
	// counted is the last sample that had CPU, from which a gap is filled.
	counted sample
}

// A sample is the counter of a sample, and when it was read.
type sample struct {
	start    int64  // of the container, in Unix seconds
	total    uint64 // nanoseconds of CPU time
	measured uint64 // Unix seconds
	ok       bool   // both were read
}

// trackSize is about how many bytes a track of so many cells takes.
func trackSize(cells int) int { return 16*cells + 160 }

func newTrack(name string, cells int) *track {
	t := &track{name: name, cpu: make([]uint64, cells), memory: make([]uint64, cells)}
	for i := range cells {
		t.cpu[i], t.memory[i] = none, none
	}
	return t
}

// add adds a point of columns. One that is not after the last is known already.
func (t *track) add(p *series.Point, values []uint64, resolution int64) {
	if p.Slot <= t.last {
		return
	}
	t.advance(p.Slot, resolution)
	t.start = p.Start()
	now := sample{start: t.start, total: values[colTotal], measured: values[colMeasured]}
	now.ok = p.Has&(1<<colTotal) != 0 && p.Has&(1<<colMeasured) != 0
	end := len(t.cpu) - 1
	if p.Has&(1<<colMemory) != 0 {
		t.memory[end] = values[colMemory]
		// There is no counter of memory: what was there before stands for what is not.
		if before, gap := lastValue(t.memory); gap {
			fill(t.memory, t.memory[before])
		}
	}
	if p.Has&(1<<colCPU) != 0 {
		t.cpu[end] = apiv1.Shown(model.CPU, values[colCPU])
		if _, gap := lastValue(t.cpu); gap {
			if mean, ok := t.counted.meanTo(&now); ok {
				fill(t.cpu, mean)
			}
		}
		t.counted = now
	}
}

// advance makes the slot the last one.
func (t *track) advance(slot, resolution int64) {
	by := len(t.cpu)
	if t.last != 0 {
		by = int(min((slot-t.last)/resolution, int64(by)))
	}
	for _, cells := range [][]uint64{t.cpu, t.memory} {
		copy(cells, cells[by:])
		for i := len(cells) - by; i < len(cells); i++ {
			cells[i] = none
		}
	}
	t.last = slot
}

// lastValue finds the value before the last cell. gap tells that there is one, and
// that between them is a gap to be filled.
func lastValue(cells []uint64) (i int, gap bool) {
	end := len(cells) - 1
	for i = end - 1; i >= 0 && i >= end-1-maxGap; i-- {
		if cells[i] != none {
			return i, i < end-1
		}
	}
	return 0, false
}

// fill sets the cells between the last one and the value before it.
func fill(cells []uint64, value uint64) {
	for i := len(cells) - 2; cells[i] == none; i-- {
		cells[i] = value
	}
}

// meanTo is the mean usage between two samples, in millicores, by the counter. ok is
// false if it does not say: the container has started again, or the counter was not
// read.
func (s *sample) meanTo(later *sample) (mean uint64, ok bool) {
	if !s.ok || !later.ok || s.start != later.start || later.total < s.total || later.measured <= s.measured {
		return 0, false
	}
	seconds := later.measured - s.measured
	return apiv1.Shown(model.CPU, (later.total-s.total)/seconds), true
}

// at is the value of a slot, or none.
func (t *track) at(metric model.Metric, slot, resolution int64) uint64 {
	cells := t.memory
	if metric == model.CPU {
		cells = t.cpu
	}
	i := len(cells) - 1 - int((t.last-slot)/resolution)
	if t.last == 0 || i < 0 || i >= len(cells) {
		return none
	}
	return cells[i]
}
