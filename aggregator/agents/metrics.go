package agents

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connections                                      prometheus.Gauge
	connectsOK, connectsFailed, connectsUnauthorized prometheus.Counter
	received                                         prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	connects := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_agents_connects_total",
		Help: "Connections opened to agents by result: ok, unauthorized (not the certificate of that node), failed.",
	}, []string{"result"})
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rollcall_agents_connections",
			Help: "Open connections to agents, idle ones included.",
		}),
		connectsOK:           connects.WithLabelValues("ok"),
		connectsFailed:       connects.WithLabelValues("failed"),
		connectsUnauthorized: connects.WithLabelValues("unauthorized"),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rollcall_agents_received_bytes_total",
			Help: "Bytes of the bodies of agents' answers.",
		}),
	}
	reg.MustRegister(connects, m.connections, m.received)
	return m
}
