package expected

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// newRequests registers the counter of requests to the API server.
func newRequests(reg prometheus.Registerer) *prometheus.CounterVec {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_expected_requests_total",
		Help: "Lists and watches at the API server that began, by whether they did.",
	}, []string{"resource", "verb", "result"})
	reg.MustRegister(requests)
	return requests
}

// register registers what is known as it is.
func (c *Cluster) register(reg prometheus.Registerer) {
	gauge := func(name, help string, value func(*verdict) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_expected_" + name, Help: help}, func() float64 {
			return float64(value(c.latest()))
		})
	}
	reg.MustRegister(
		gauge("listed", "1: the API server has said which nodes there are; 0: the roster says who is expected.", func(v *verdict) int {
			if v.listed {
				return 1
			}
			return 0
		}),
		gauge("nodes", "Nodes that should answer, by the API server.", func(v *verdict) int { return len(v.nodes) }),
		gauge("unsupported_nodes", "Nodes that cannot run the agent.", func(v *verdict) int { return len(v.unsupported) }),
		c.toNodes.lastContact(), c.toAgent.lastContact())
}

// lastContact is when the API server last said something.
func (c *contact) lastContact() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "rollcall_expected_contact_timestamp_seconds",
		Help:        "When the API server last said something about a resource, once a minute at least, in Unix seconds; 0: never.",
		ConstLabels: prometheus.Labels{"resource": c.resource},
	}, func() float64 {
		last, _, _ := c.state()
		if last.IsZero() {
			return 0
		}
		return float64(last.UnixNano()) / float64(time.Second)
	})
}
