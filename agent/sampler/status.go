package sampler

import (
	"bytes"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
)

// A Status is what is known of the kubelet's last answer.
type Status struct {
	// Slot is the slot it was for, in Unix seconds; 0 before the first.
	Slot int64
	// Answer is the answer; its Scrape is not kept.
	Answer kubelet.Answer
	// Err is what was wrong with it, nil if nothing.
	Err error
	// Since is when it became so.
	Since time.Time
	// Failures is how many slots in a row failed.
	Failures int
}

// Status returns what is known of the last answer.
func (s *Sampler) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Answer.Body = bytes.Clone(st.Answer.Body)
	st.Since, st.Failures = s.change.Since(), s.change.Failures()
	return st
}

// Ready is nil once the ring has a sample.
func (s *Sampler) Ready() error {
	if !s.ring.Empty() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.Err != nil {
		return s.status.Err
	}
	return errors.New("no sample yet")
}

// keep notes the answer for Status and logs if that is a change.
func (s *Sampler) keep(slot int64, a *kubelet.Answer, err error) {
	s.mu.Lock()
	s.kubelet.Reuse(s.status.Answer.Body)
	s.status.Slot, s.status.Answer, s.status.Err = slot, *a, err
	s.status.Answer.Scrape.Groups = nil
	s.mu.Unlock()
	kind := ""
	if e := (*kubelet.Error)(nil); errors.As(err, &e) {
		kind = e.Kind.String()
	}
	s.change.SetKind(kind, err)
}

type metrics struct {
	scrapes  *prometheus.CounterVec
	seconds  prometheus.Histogram
	bytes    prometheus.Counter
	skipped  prometheus.Counter
	doubted  prometheus.Counter
	old      prometheus.Counter
	entities prometheus.Gauge
	newest   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		scrapes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_kubelet_requests_total",
			Help: "Requests to the kubelet by form (light, full) and result (ok, or what failed).",
		}, []string{"form", "result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "rollcall_kubelet_request_seconds",
			Help:    "Duration of requests to the kubelet.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10},
		}),
		bytes:   counter("rollcall_kubelet_bytes_total", "Bytes of good answers of the kubelet."),
		skipped: counter("rollcall_kubelet_skipped_total", "Parts of good answers that made no sense and were left out; see /debug/summary."),
		doubted: counter("rollcall_kubelet_doubted_cpu_total", "CPU usages of 0 that the CPU time contradicts; they are absent, not 0."),
		old:     counter("rollcall_kubelet_old_samples_total", "Samples left out because the kubelet measured them minutes ago, before the one before, or in the future, as the clock was set back."),
		entities: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rollcall_entities", Help: "Entities (node, pods, containers) in the newest sample.",
		}),
		newest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rollcall_newest_sample_slot_seconds", Help: "Slot of the newest sample that is on disk, in Unix seconds.",
		}),
	}
	reg.MustRegister(m.scrapes, m.seconds, m.bytes, m.skipped, m.doubted, m.old, m.entities, m.newest)
	return m
}

func (m *metrics) fetched(form kubelet.Form, a kubelet.Answer, err error) {
	result := "ok"
	if e := (*kubelet.Error)(nil); errors.As(err, &e) {
		result = e.Kind.String()
	} else if err != nil {
		result = "error"
	}
	m.scrapes.WithLabelValues(form.String(), result).Inc()
	m.seconds.Observe(a.Took.Seconds())
	if err == nil {
		m.bytes.Add(float64(len(a.Body)))
		m.skipped.Add(float64(len(a.Skipped)))
	}
}
