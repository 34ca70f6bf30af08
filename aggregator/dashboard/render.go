package dashboard

import (
	"io"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// flushAt is how much JSON is gathered before it is written: a few packets.
const flushAt = 32 << 10

// A renderer writes an answer as it grows.
type renderer struct {
	window     *window
	question   *question
	from, to   int64 // slots, both included, in Unix seconds
	resolution int64
	// before are a point up to its value, of each slot; after the points an item ends
	// with ending up to its name.
	before []string
	ending string
	points []uint64 // scratch: the pod's or node's value of each slot, or none
	buf    []byte
}

// render writes the answer. A write fails when the client has gone away: then there is
// nothing more to do.
func (h *Handler) render(w io.Writer, v *window, q *question, edge int64) {
	r := renderer{window: v, question: q, to: edge, resolution: h.windows.resolution()}
	r.from = edge - (h.windows.shown()-1)*r.resolution
	r.points = make([]uint64, h.windows.shown())
	r.before = make([]string, len(r.points))
	for i := range r.before {
		r.before[i] = `{"timestamp":"` + time.Unix(r.slot(i), 0).UTC().Format(time.RFC3339) + `","value":`
	}
	r.ending = `],"metricName":` + string(coverage.AppendString(nil, q.named)) + `,"uids":[`
	r.buf = append(r.buf, `{"items":`...)
	items := 0
	for _, name := range q.names {
		if !r.sum(name) {
			continue
		}
		r.buf = append(r.buf, separator(items, '[')...)
		items++
		r.item(name)
		if len(r.buf) >= flushAt {
			if _, err := w.Write(r.buf); err != nil {
				return
			}
			r.buf = r.buf[:0]
		}
	}
	if items == 0 {
		r.buf = append(r.buf, "null}\n"...)
	} else {
		r.buf = append(r.buf, "]}\n"...)
	}
	_, _ = w.Write(r.buf)
}

// separator is what comes before element i of a list.
func separator(i int, open byte) []byte {
	if i > 0 {
		open = ','
	}
	return []byte{open}
}

// slot is the slot of point i.
func (r *renderer) slot(i int) int64 { return r.from + int64(i)*r.resolution }

// item appends what was summed up last.
func (r *renderer) item(name string) {
	b := append(r.buf, `{"dataPoints":[],"metricPoints":[`...)
	first := true
	for i, value := range r.points {
		if value == none {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, r.before[i]...)
		b = strconv.AppendUint(b, value, 10)
		b = append(b, '}')
	}
	b = append(b, r.ending...)
	b = coverage.AppendString(b, name)
	r.buf = append(b, ']', '}')
}

// sum adds up the containers of a pod, slot by slot, and tells whether there is
// anything. Where two nodes have the pod, the one on which it started last counts.
func (r *renderer) sum(name string) (any bool) {
	v := r.window
	v.mu.Lock()
	defer v.mu.Unlock()
	all := v.subjects[name]
	if len(all) == 0 {
		return false
	}
	for i := range r.points {
		r.points[i] = none
		var started int64
		for _, s := range all {
			if sum, start := s.sum(r.question, r.slot(i), r.resolution); sum != none && (r.points[i] == none || start > started) {
				r.points[i], started, any = sum, start, true
			}
		}
	}
	return any
}

// sum adds up what there is in a slot, and returns when the youngest container of it
// started.
func (s *subject) sum(q *question, slot, resolution int64) (sum uint64, start int64) {
	sum = none
	for _, t := range s.tracks {
		value := t.at(q.metric, slot, resolution)
		if value == none {
			continue
		}
		if sum == none {
			sum = 0
		}
		sum += value
		start = max(start, t.start)
	}
	return sum, start
}
