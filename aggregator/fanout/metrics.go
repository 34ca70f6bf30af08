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
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
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
	reg.MustRegister(m.answers, m.questionSeconds, m.nodeSeconds)
	for _, o := range []coverage.Outcome{
		coverage.OK, coverage.Truncated, coverage.Timeout, coverage.Refused, coverage.Unauthorized, coverage.VersionSkew,
		coverage.NotInRoster, coverage.Dead, coverage.OverBudget, coverage.Canceled,
	} {
		m.answers.WithLabelValues(string(o))
	}
	return m
}

// add counts a question.
func (m *metrics) add(results []result, outcomes map[coverage.Outcome]int, took time.Duration) {
	for o, n := range outcomes {
		m.answers.WithLabelValues(string(o)).Add(float64(n))
	}
	for i := range results {
		if results[i].asked {
			m.nodeSeconds.Observe(results[i].elapsed.Seconds())
		}
	}
	m.questionSeconds.Observe(took.Seconds())
}
