package series

import (
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A stepper makes the slots of a pod's, or the node's, chunks of one block into
// steps.
type stepper struct {
	choice  *choice
	metrics []model.Metric
	// resolution is that of the coded steps, whatever that of the slots was: all
	// starts of steps are multiples of it.
	resolution      time.Duration
	decoder         chunk.Decoder
	used, free      []*entity
	last            int // entity of the row before
	values, weights chunk.Builder
	v, w            []model.Sample
	coded, weighing []byte
}

// entity is one entity name: its slots, and what becomes of them.
type entity struct {
	series Series
	bins   Bins
	next   int // bin that is yet to be written
}

func (s *stepper) init(c *choice) {
	s.choice = c
	for m := range model.NumMetrics {
		if c.metrics.Has(m) {
			s.metrics = append(s.metrics, m)
		}
	}
	a, b := c.step, int64(model.BlockSeconds)
	for b != 0 {
		a, b = b, a%b
	}
	s.resolution = time.Duration(a) * time.Second
}

// read reads what is wanted of the chunks. It tells whether the steps fit in
// numbers of 64 bits, and what cannot be read.
func (s *stepper) read(chunks []chunk.Chunk) (fits bool, failed error) {
	s.free = append(s.free, s.used...)
	s.used, s.last = s.used[:0], 0
	for i := range chunks {
		c := &chunks[i]
		for s.decoder.Reset(*c); s.decoder.Next(); {
			if row := s.decoder.Row(); s.choice.wants(c, row) {
				s.entity(row.Name).series.Add(row.Slot, row.Start, &row.Values)
			}
		}
		if failed == nil {
			failed = s.decoder.Err()
		}
	}
	if s.choice.noOwn && len(s.used) > 1 {
		s.used = slices.DeleteFunc(s.used, func(e *entity) bool {
			if e.series.Name == "" {
				s.free = append(s.free, e)
			}
			return e.series.Name == ""
		})
	}
	for _, e := range s.used {
		e.series.Finish()
		e.bins.Reset(e.series.Name, s.choice.step, s.choice.agg, s.metrics)
		e.bins.AddSeries(&e.series)
		if e.bins.overflow() {
			return false, failed
		}
	}
	return true, failed
}

// entity returns the entity of that name, a new one if there is none. Mostly it
// is the one after the last: rows of each slot come in the same order.
func (s *stepper) entity(name string) *entity {
	for i := range s.used {
		j := (s.last + 1 + i) % len(s.used)
		if s.used[j].series.Name == name {
			s.last = j
			return s.used[j]
		}
	}
	var e *entity
	if n := len(s.free); n > 0 {
		e, s.free = s.free[n-1], s.free[:n-1]
	} else {
		e = new(entity)
	}
	e.series.Reset(name, s.metrics)
	e.next = 0
	s.last = len(s.used)
	s.used = append(s.used, e)
	return e
}

// write hands on the steps that were read, and tells whether there were any:
// one chunk for each block in which steps begin.
func (s *stepper) write(pod model.PodRef, out Out) (sent bool, failed error) {
	for {
		slot, ok := s.nextSlot()
		if !sent || !ok || model.BlockOf(slot) != s.values.Header().Block {
			if sent {
				failed = s.flush(out)
			}
			if !ok || failed != nil {
				return sent, failed
			}
			h := chunk.Header{Pod: pod, Block: model.BlockOf(slot), Resolution: s.resolution}
			s.values.Reset(h)
			s.weights.Reset(h)
			sent = true
		}
		s.v, s.w = s.v[:0], s.w[:0]
		for _, e := range s.used {
			if e.next < len(e.bins.bins) && e.bins.bins[e.next].slot == slot {
				s.v, s.w = append(s.v, model.Sample{}), append(s.w, model.Sample{})
				e.bins.part(e.next, &s.v[len(s.v)-1], &s.w[len(s.w)-1])
				e.next++
			}
		}
		if failed = s.values.Append(slot, s.v); failed == nil {
			failed = s.weights.Append(slot, s.w)
		}
		if failed != nil {
			return sent, failed
		}
	}
}

// nextSlot is the start of the first step that is yet to be written.
func (s *stepper) nextSlot() (slot int64, ok bool) {
	for _, e := range s.used {
		if e.next < len(e.bins.bins) && (!ok || e.bins.bins[e.next].slot < slot) {
			slot, ok = e.bins.bins[e.next].slot, true
		}
	}
	return slot, ok
}

// flush hands on the steps of one block.
func (s *stepper) flush(out Out) error {
	s.coded = s.values.AppendChunk(s.coded[:0])
	if len(s.used) == 0 || !s.used[0].bins.weighted() {
		return out.Binned(s.coded, nil)
	}
	s.weighing = s.weights.AppendChunk(s.weighing[:0])
	return out.Binned(s.coded, s.weighing)
}
