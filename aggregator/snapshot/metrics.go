package snapshot

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	flights prometheus.Counter
	seconds prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, s *Snapshot) *metrics {
	m := &metrics{
		flights: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rollcall_snapshot_flights_total",
			Help: "Questions to all nodes for their newest scrape.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "rollcall_snapshot_flight_seconds",
			Help:    "Duration of questions to all nodes for their newest scrape.",
			Buckets: []float64{.01, .03, .1, .3, .6, 1, 1.5, 2, 3, 5, 10},
		}),
	}
	gauge := func(name, help string, value func(*View) int) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			return float64(value(s.current.Load()))
		})
	}
	reg.MustRegister(m.flights, m.seconds,
		gauge("rollcall_snapshot_slot_seconds", "Slot of the snapshot, in Unix seconds; 0: there is none yet.",
			func(v *View) int { return int(v.slot) }),
		gauge("rollcall_snapshot_nodes", "Nodes with values of the snapshot's slot.", func(v *View) int { return v.ok }),
		gauge("rollcall_snapshot_missing_nodes", "Nodes without, or with older ones.", func(v *View) int { return len(v.expected) - v.ok }),
		gauge("rollcall_snapshot_pods", "Pods with values.", func(v *View) int { return v.stats.pods }),
		gauge("rollcall_snapshot_bytes", "Bytes of the coded values.", func(v *View) int { return v.stats.bytes }),
		gauge("rollcall_snapshot_directory_size", "Pairs of a pod and a node that has samples of it.", func(v *View) int { return v.stats.places }))
	return m
}

func (m *metrics) flew(f *flight) {
	m.flights.Inc()
	m.seconds.Observe(time.Since(f.began).Seconds())
}
