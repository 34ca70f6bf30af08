package dashboard

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	complete, partial prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, w *windows) *metrics {
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_dashboard_answers_total",
		Help: "Answers to the Kubernetes Dashboard; those that are not complete lack a node, its newest values, or some of its history.",
	}, []string{"complete"})
	reg.MustRegister(answers, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rollcall_dashboard_kept_bytes",
		Help: "Bytes of the history that is kept for the Kubernetes Dashboard.",
	}, func() float64 { return float64(w.kept()) }))
	return &metrics{complete: answers.WithLabelValues("true"), partial: answers.WithLabelValues("false")}
}

// told counts an answer.
func (m *metrics) told(whole bool) {
	if whole {
		m.complete.Inc()
	} else {
		m.partial.Inc()
	}
}
