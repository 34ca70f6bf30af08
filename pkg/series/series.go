package series

import (
	"cmp"
	"slices"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Series is the points of one entity name: of a container over all its
// restarts. Its memory is used again for the next one. It is not safe for
// concurrent use.
type Series struct {
	// Name is the container's; "" is the node or the pod itself.
	Name    string
	metrics []model.Metric
	// points and values lie side by side: len(metrics) values a point.
	points   []Point
	values   []uint64
	unsorted bool
}

// A Point is what a series has of one slot.
type Point struct {
	Slot int64 // Unix seconds
	// Has tells which columns are present: bit i is metric i of the series.
	Has   uint32
	start int64 // of the entity, Unix seconds
	at    int   // where its values begin
}

// Start is when the entity of the point started, in Unix seconds; 0 is unknown.
func (p *Point) Start() int64 { return p.start }

// Reset empties the series for the points of another entity: with these
// metrics, which must not change meanwhile, as columns.
func (s *Series) Reset(name string, metrics []model.Metric) {
	s.Name, s.metrics = name, metrics
	s.points, s.values, s.unsorted = s.points[:0], s.values[:0], false
}

// Len is how many points there are.
func (s *Series) Len() int { return len(s.points) }

// Points are the points, by slot once Finish was called.
func (s *Series) Points() []Point { return s.points }

// Values are a point's values, one for each metric; those that are absent are 0.
func (s *Series) Values(p *Point) []uint64 { return s.values[p.at : p.at+len(s.metrics)] }

// Add adds one sample of an entity that started at start. A sample without any
// of the metrics is no point. Of two for one slot that of the younger entity
// counts, of two of the same age the later.
func (s *Series) Add(slot, start int64, v *model.Values) {
	p := Point{Slot: slot, start: start, at: len(s.values)}
	for i, m := range s.metrics {
		x, ok := v.Get(m)
		if ok {
			p.Has |= 1 << i
		}
		s.values = append(s.values, x)
	}
	n := len(s.points)
	switch {
	case p.Has == 0:
		s.values = s.values[:p.at]
		return
	case n == 0 || s.points[n-1].Slot < slot:
	case s.points[n-1].Slot > slot:
		s.unsorted = true
	case s.points[n-1].start > start:
		s.values = s.values[:p.at]
		return
	default: // replaced at once: a node that repeats itself costs no memory
		last := s.points[n-1].at
		copy(s.values[last:], s.values[p.at:])
		s.points, s.values, p.at = s.points[:n-1], s.values[:p.at], last
	}
	s.points = append(s.points, p)
}

// Finish sorts the points by slot and keeps one for each.
func (s *Series) Finish() {
	if !s.unsorted {
		return
	}
	slices.SortStableFunc(s.points, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.start, b.start))
	})
	kept := s.points[:0]
	for i, p := range s.points {
		if i+1 == len(s.points) || s.points[i+1].Slot != p.Slot {
			kept = append(kept, p)
		}
	}
	s.points, s.unsorted = kept, false
}
