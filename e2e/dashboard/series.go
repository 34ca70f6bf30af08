package dashboard

import (
	"maps"
	"slices"
)

// A Point is what is told of one time, in Unix seconds.
type Point struct {
	Second int64
	Value  uint64
}

// A Series is points in the order of their times.
type Series []Point

// Sum adds up series second by second, and makes up nothing: at a second at which only
// one has a point the sum is that one's.
func Sum(all ...Series) Series {
	sums := map[int64]uint64{}
	for _, s := range all {
		for _, p := range s {
			sums[p.Second] += p.Value
		}
	}
	sum := make(Series, 0, len(sums))
	for _, second := range slices.Sorted(maps.Keys(sums)) {
		sum = append(sum, Point{second, sums[second]})
	}
	return sum
}

// Current is the value that is shown as the present one: the last.
func (s Series) Current() (value uint64, ok bool) {
	if len(s) == 0 {
		return 0, false
	}
	return s[len(s)-1].Value, true
}

// At is the value at a second.
func (s Series) At(second int64) (value uint64, ok bool) {
	for _, p := range s {
		if p.Second == second {
			return p.Value, true
		}
	}
	return 0, false
}

// Last is the second of the last point, 0 if there is none.
func (s Series) Last() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].Second
}
