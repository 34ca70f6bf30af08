package apiv1

import (
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/series"
)

// flushAt is how much JSON is gathered before it is written: a few packets.
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
	// stamp is how a point of the slot begins: those of many entities come one
	// after the other.
	slot  int64
	stamp []byte
}

func newRenderer(p params, w io.Writer) *renderer {
	r := &renderer{params: p, w: w, slot: math.MinInt64}
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
	r.buf = append(r.buf, `,"metrics":[`...)
	for i := range points {
		p := &points[i]
		if i > 0 {
			r.buf = append(r.buf, ',')
		}
		if p.Slot != r.slot {
			r.slot = p.Slot
			r.stamp = strconv.AppendInt(append(r.stamp[:0], `{"timestamp":`...), p.Slot, 10)
		}
		r.buf = append(r.buf, r.stamp...)
		for col, v := range s.Values(p) {
			if p.Has&(1<<col) == 0 {
				continue
			}
			r.buf = append(r.buf, r.keys[col]...)
			r.buf = strconv.AppendUint(r.buf, shown(r.metrics[col], v), 10)
		}
		r.buf = append(r.buf, '}')
		if r.flush(false); r.failed != nil {
			return
		}
	}
	r.buf = append(r.buf, ']')
}

// shown is the value in the unit of the HTTP API: cpu in millicores, rounded
// half up, all else as it is stored.
func shown(m model.Metric, v uint64) uint64 {
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
