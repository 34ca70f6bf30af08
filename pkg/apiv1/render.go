package apiv1

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/series"
)

// flushAt is how much JSON is gathered before it is written: a few packets. Four
// times as much was not measurably cheaper.
const flushAt = 32 << 10

// A renderer writes the JSON of an answer as it grows. A write fails when the
// client is gone: then it does nothing more, and net/http drops the connection.
type renderer struct {
	params
	w      io.Writer
	buf    []byte
	keys   []string // of each metric, with what is before and after it
	failed error
	steps  series.Series // scratch
	// stamps are how the points of slots begin, by slot: those of entity after
	// entity are the same. at is the one that was used last.
	stamps []stamp
	at     int
}

// maxStamps is how many stamps are kept: those of a day. A node that makes up
// more slots costs time, but no memory.
const maxStamps = 24 * 60 * 60 / 15

// A stamp is how the points of a slot begin.
type stamp struct {
	slot int64
	text string
}

// stamp returns how the points of a slot begin.
func (r *renderer) stamp(slot int64) string {
	switch next := r.at + 1; {
	case next < len(r.stamps) && r.stamps[next].slot == slot:
		r.at = next
	case r.at < len(r.stamps) && r.stamps[r.at].slot == slot: // of newest values
	default:
		r.find(slot)
	}
	return r.stamps[r.at].text
}

// find sets at to the stamp of a slot, which it makes if there is none.
func (r *renderer) find(slot int64) {
	if len(r.stamps) == maxStamps {
		r.stamps = r.stamps[:0]
	}
	var known bool
	r.at, known = slices.BinarySearchFunc(r.stamps, slot, func(s stamp, slot int64) int { return cmp.Compare(s.slot, slot) })
	if !known {
		r.stamps = slices.Insert(r.stamps, r.at, stamp{slot, `{"timestamp":` + strconv.FormatInt(slot, 10)})
	}
}

func newRenderer(p params, w io.Writer) *renderer {
	r := &renderer{params: p, w: w}
	for _, m := range p.metrics {
		r.keys = append(r.keys, `,"`+m.String()+`":`)
	}
	return r
}

// flush writes what has been gathered once it is enough, and always if force.
func (r *renderer) flush(force bool) {
	if r.failed != nil || (!force && len(r.buf) < flushAt) {
		return
	}
	_, r.failed = r.w.Write(r.buf)
	r.buf = r.buf[:0]
}

// nodes writes a whole answer about nodes.
func (r *renderer) nodes(m *merger) {
	r.buf = append(r.buf, `{"nodes":[`...)
	first := true
	for name, own := range m.nodes() {
		r.comma(&first)
		r.buf = append(r.buf, `{"name":`...)
		r.name(name)
		r.points(own)
		r.buf = append(r.buf, '}')
		if r.flush(false); r.failed != nil {
			return
		}
	}
	r.end(m)
}

// pods writes a whole answer about pods.
func (r *renderer) pods(m *merger, container string) {
	r.buf = append(r.buf, `{"pods":[`...)
	first := true
	for p := range m.pods(container) {
		r.comma(&first)
		r.buf = append(r.buf, `{"namespace":`...)
		r.name(p.namespace)
		r.buf = append(r.buf, `,"name":`...)
		r.name(p.name)
		if r.explicit && container == "" {
			// What only a pod has (network, ephemeral storage) needs a place.
			r.points(p.own)
		}
		r.buf = append(r.buf, `,"containers":[`...)
		for i, e := range p.containers {
			if i > 0 {
				r.buf = append(r.buf, ',')
			}
			r.buf = append(r.buf, `{"name":`...)
			r.name(e.name)
			r.points(e)
			r.buf = append(r.buf, '}')
		}
		r.buf = append(r.buf, ']', '}')
		if r.flush(false); r.failed != nil {
			return
		}
	}
	r.end(m)
}

// end closes the list and adds the coverage, which is final only now.
func (r *renderer) end(m *merger) {
	r.buf = append(r.buf, `],"coverage":`...)
	r.buf = m.answer.Coverage.AppendJSON(r.buf)
	r.buf = append(r.buf, '}', '\n')
	r.flush(true)
}

func (r *renderer) comma(first *bool) {
	if !*first {
		r.buf = append(r.buf, ',')
	}
	*first = false
}

// name appends a name as a JSON string. Those of Kubernetes need no escapes.
func (r *renderer) name(s string) {
	start := len(r.buf)
	r.buf = append(r.buf, '"')
	r.buf = append(r.buf, s...)
	for _, c := range r.buf[start+1:] {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			r.buf = coverage.AppendString(r.buf[:start], s)
			return
		}
	}
	r.buf = append(r.buf, '"')
}

// points appends an entity's points as the member "metrics".
func (r *renderer) points(e *entity) {
	s := &e.slots
	if r.step > 0 {
		e.steps.Points(&r.steps)
		s = &r.steps
	}
	points := s.Points()
	if r.latest && len(points) > 1 {
		points = points[len(points)-1:]
	}
	b := append(r.buf, `,"metrics":[`...)
	for i := range points {
		p := &points[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r.stamp(p.Slot)...)
		for col, v := range s.Values(p) {
			if p.Has&(1<<col) == 0 {
				continue
			}
			b = append(b, r.keys[col]...)
			b = strconv.AppendUint(b, Shown(r.metrics[col], v), 10)
		}
		b = append(b, '}')
		if len(b) >= flushAt {
			r.buf = b
			if r.flush(false); r.failed != nil {
				return
			}
			b = r.buf
		}
	}
	r.buf = append(b, ']')
}

// Shown is the value in the unit of the HTTP API: cpu in millicores, rounded
// half up, all else as it is stored.
func Shown(m model.Metric, v uint64) uint64 {
	if m != model.CPU {
		return v
	}
	const nanosPerMilli = 1_000_000
	q := v / nanosPerMilli
	if v%nanosPerMilli >= nanosPerMilli/2 {
		q++
	}
	return q
}
