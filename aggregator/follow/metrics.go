package follow

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those of all contacts of a process.
type Metrics struct {
	requests *prometheus.CounterVec
	contact  *prometheus.GaugeVec
}

// NewMetrics registers them, once per registry. A resource shows from [New] on.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_apiserver_requests_total",
			Help: "Lists and watches at the API server that began, page by page, by whether they did.",
		}, []string{"resource", "verb", "result"}),
		contact: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rollcall_apiserver_contact_timestamp_seconds",
			Help: "When the API server last said something about a resource, once a minute at least, in Unix seconds; 0: never.",
		}, []string{"resource"}),
	}
	reg.MustRegister(m.requests, m.contact)
	return m
}

// show has a resource show before anything is known of it.
func (m *Metrics) show(resource string) {
	for _, verb := range []string{listing, watching} {
		for _, result := range []string{"ok", "failed"} {
			m.requests.WithLabelValues(resource, verb, result)
		}
	}
	m.contact.WithLabelValues(resource)
}
