package dashboard

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
)

type metrics struct {
	complete, partial prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, w *windows) *metrics {
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_dashboard_answers_total",
		Help: "Answers to the Kubernetes Dashboard; those that are not complete lack a node, or its newest values.",
	}, []string{"complete"})
	reg.MustRegister(answers, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rollcall_dashboard_kept_bytes",
		Help: "Bytes of the history that is kept for the Kubernetes Dashboard.",
	}, func() float64 { return float64(w.kept()) }))
	return &metrics{complete: answers.WithLabelValues("true"), partial: answers.WithLabelValues("false")}
}

// told counts an answer about the nodes.
func (m *metrics) told(view *snapshot.View, nodes []string) {
	for _, name := range nodes {
		if n, ok := view.On(name); ok && n.Missing() != nil {
			m.partial.Inc()
			return
		}
	}
	m.complete.Inc()
}
