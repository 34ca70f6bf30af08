package apiv1

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A series is the points of one entity name: of a container over all its
// restarts. Its memory is used again for the next one.
type series struct {
	name string
	// points and values lie side by side: len(metrics) values a point.
	points   []point
	values   []uint64
	unsorted bool
}

type point struct {
	slot  int64  // Unix seconds
	start int64  // of the entity, Unix seconds: of two samples for a slot the younger entity's counts
	has   uint32 // bit i: column i is present
	at    int    // where its values begin
}

func (s *series) reset(name string) {
	s.name, s.points, s.values, s.unsorted = name, s.points[:0], s.values[:0], false
}

// add adds the columns of one sample. A sample without any of them is no point.
func (s *series) add(slot, start int64, v *model.Values, metrics []model.Metric) {
	if n := len(s.points); n > 0 && s.points[n-1].slot == slot {
		if s.points[n-1].start > start {
			return
		}
		// Replaced at once: a node that repeats itself costs no memory.
		s.values = s.values[:s.points[n-1].at]
		s.points = s.points[:n-1]
	}
	p := point{slot: slot, start: start, at: len(s.values)}
	for i, m := range metrics {
		x, ok := v.Get(m)
		if ok {
			p.has |= 1 << i
		}
		s.values = append(s.values, x)
	}
	if p.has == 0 {
		s.values = s.values[:p.at]
		return
	}
	if n := len(s.points); n > 0 && s.points[n-1].slot > slot {
		s.unsorted = true
	}
	s.points = append(s.points, p)
}

// finish sorts the points by slot and keeps one for each.
func (s *series) finish() {
	if !s.unsorted {
		return
	}
	slices.SortStableFunc(s.points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.start, b.start))
	})
	kept := s.points[:0]
	for i, p := range s.points {
		if i+1 == len(s.points) || s.points[i+1].slot != p.slot {
			kept = append(kept, p)
		}
	}
	s.points, s.unsorted = kept, false
}

// aggregate writes one point per step to dst, labelled with the step's start,
// a multiple of the step. Counters take the last value: a mean of a counter
// says nothing.
func (s *series) aggregate(dst *series, step int64, agg aggregate, metrics []model.Metric) {
	dst.reset(s.name)
	for i := 0; i < len(s.points); {
		bin := s.points[i].slot - mod(s.points[i].slot, step)
		n := i
		for n < len(s.points) && s.points[n].slot < bin+step {
			n++
		}
		p := point{slot: bin, at: len(dst.values)}
		for col, m := range metrics {
			how := agg
			if m.Counter() && how == mean {
				how = last
			}
			x, ok := s.reduce(s.points[i:n], col, how)
			if ok {
				p.has |= 1 << col
			}
			dst.values = append(dst.values, x)
		}
		dst.points = append(dst.points, p)
		i = n
	}
}

// reduce makes one value of a column of some points; ok is false if it is
// absent from all.
func (s *series) reduce(points []point, col int, how aggregate) (x uint64, ok bool) {
	var hi, lo, n uint64 // the sum has 128 bits
	for _, p := range points {
		if p.has&(1<<col) == 0 {
			continue
		}
		v := s.values[p.at+col]
		switch {
		case !ok || how == last:
			x = v
		case how == largest:
			x = max(x, v)
		case how == smallest:
			x = min(x, v)
		}
		ok = true
		var carry uint64
		lo, carry = bits.Add64(lo, v, 0)
		hi += carry
		n++
	}
	if ok && how == mean {
		lo, carry := bits.Add64(lo, n/2, 0) // rounds half up
		x, _ = bits.Div64(hi+carry, lo, n)
	}
	return x, ok
}

func mod(x, y int64) int64 { return ((x % y) + y) % y }
