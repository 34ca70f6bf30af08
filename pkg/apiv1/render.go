package apiv1

import (
	"io"
	"strconv"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// flushAt is how much JSON is gathered before it is written: a few packets.
const flushAt = 32 << 10

// A renderer writes the JSON of an answer as it grows. A write fails when the
// client is gone: then it does nothing more, and net/http drops the connection.
type renderer struct {
	params
	w      io.Writer
	buf    []byte
	failed error
	binned series // scratch of aggregation
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
	for name, s := range m.nodes() {
		r.comma(&first)
		r.buf = append(r.buf, `{"name":`...)
		r.buf = coverage.AppendString(r.buf, name)
		r.points(s)
		r.buf = append(r.buf, '}')
		if r.flush(false); r.failed != nil {
			return
		}
	}
	r.end(m)
}

// pods writes a whole answer about pods.
func (r *renderer) pods(m *merger, parts []podPart, container string) {
	r.buf = append(r.buf, `{"pods":[`...)
	first := true
	for p := range m.pods(parts, container) {
		r.comma(&first)
		r.buf = append(r.buf, `{"namespace":`...)
		r.buf = coverage.AppendString(r.buf, p.namespace)
		r.buf = append(r.buf, `,"name":`...)
		r.buf = coverage.AppendString(r.buf, p.name)
		if r.explicit && container == "" {
			// What only a pod has (network, ephemeral storage) needs a place.
			r.points(p.own)
		}
		r.buf = append(r.buf, `,"containers":[`...)
		for i, s := range p.containers {
			if i > 0 {
				r.buf = append(r.buf, ',')
			}
			r.buf = append(r.buf, `{"name":`...)
			r.buf = coverage.AppendString(r.buf, s.name)
			r.points(s)
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

// points appends a series' points as the member "metrics".
func (r *renderer) points(s *series) {
	if r.step > 0 {
		s.aggregate(&r.binned, r.step, r.agg, r.metrics)
		s = &r.binned
	}
	r.buf = append(r.buf, `,"metrics":[`...)
	for i, p := range s.points {
		if i > 0 {
			r.buf = append(r.buf, ',')
		}
		r.buf = append(r.buf, `{"timestamp":`...)
		r.buf = strconv.AppendInt(r.buf, p.slot, 10)
		for col, m := range r.metrics {
			if p.has&(1<<col) == 0 {
				continue
			}
			r.buf = append(r.buf, `,"`...)
			r.buf = append(r.buf, m.String()...)
			r.buf = append(r.buf, `":`...)
			r.buf = strconv.AppendUint(r.buf, shown(m, s.values[p.at+col]), 10)
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
