package expected

import "github.com/prometheus/client_golang/prometheus"

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
		gauge("unsupported_nodes", "Nodes that cannot run the agent.", func(v *verdict) int { return len(v.unsupported) }))
}
