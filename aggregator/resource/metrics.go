package resource

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// serverMetrics are what the API tells of itself.
type serverMetrics struct {
	age prometheus.Histogram
}

func newServerMetrics(reg prometheus.Registerer) *serverMetrics {
	m := &serverMetrics{age: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "rollcall_resource_age_seconds",
		Help: "How old values were when metrics.k8s.io served them: now less their timestamp.",
		// Of slots of 15 s and kubelets that measure every 10 to 30 s.
		Buckets: []float64{5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 75, 90, 120, 180},
	})}
	reg.MustRegister(m.age)
	return m
}

// served notes that an object was served now.
func (m *serverMetrics) served(now, timestamp time.Time) {
	m.age.Observe(now.Sub(timestamp).Seconds())
}
