package fanout

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

type metrics struct {
	answers         *prometheus.CounterVec // outcome
	questionSeconds prometheus.Histogram
	nodeSeconds     prometheus.Histogram
	refused         prometheus.Counter
	probesOK        prometheus.Counter
	probesFailed    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, f *Fanout) *metrics {
	probes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_fanout_probes_total",
		Help: "Probes of nodes that had failed by result: ok, failed.",
	}, []string{"result"})
	m := &metrics{
		probesOK:     probes.WithLabelValues("ok"),
		probesFailed: probes.WithLabelValues("failed"),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rollcall_fanout_refused_total",
			Help: "Questions that were refused because too many others were being answered.",
		}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_fanout_answers_total",
			Help: "Nodes that were to answer a question, by how that ended.",
		}, []string{"outcome"}),
		questionSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "rollcall_fanout_seconds",
			Help:    "Duration of a question to all its nodes.",
			Buckets: []float64{.003, .01, .03, .1, .3, .6, 1, 1.5, 2, 3, 5, 10, 30},
		}),
		nodeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "rollcall_fanout_node_seconds",
			Help:    "Duration of one node's answer, or until it was given up.",
			Buckets: []float64{.0003, .001, .003, .01, .03, .1, .3, 1, 1.5, 3},
		}),
	}
	reg.MustRegister(m.answers, m.questionSeconds, m.nodeSeconds, m.refused, probes,
		gauge("waiting", "Questions that wait because too many others are being answered.", func() float64 {
			return float64(f.admission.waiting.Load())
		}),
		gauge("in_flight", "Nodes that are being asked.", func() float64 { return float64(f.inFlight.Load()) }),
		gauge("held_bytes", "Bytes of answers that are being read or written.", func() float64 { return float64(f.held.Load()) }),
		gauge("breakers", "Nodes that are not asked because they failed: their breaker is open, or half open.", func() float64 {
			return float64(f.history.broken())
		}))
	for _, o := range []coverage.Outcome{
		coverage.OK, coverage.Truncated, coverage.Timeout, coverage.Refused, coverage.Unauthorized, coverage.VersionSkew,
		coverage.NotInRoster, coverage.Dead, coverage.OverBudget, coverage.Canceled,
	} {
		m.answers.WithLabelValues(string(o))
	}
	return m
}

// add counts a question.
func (m *metrics) add(results []Result, outcomes map[coverage.Outcome]int, took time.Duration) {
	for o, n := range outcomes {
		m.answers.WithLabelValues(string(o)).Add(float64(n))
	}
	for i := range results {
		if results[i].Asked {
			m.nodeSeconds.Observe(results[i].Elapsed.Seconds())
		}
	}
	m.questionSeconds.Observe(took.Seconds())
}

// probed counts a probe by whether the node is well.
func (m *metrics) probed(well bool) bool {
	if well {
		m.probesOK.Inc()
	} else {
		m.probesFailed.Inc()
	}
	return well
}

func gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_fanout_" + name, Help: help}, value)
}
