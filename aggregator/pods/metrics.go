package pods

import "github.com/prometheus/client_golang/prometheus"

// register registers what is known as it is.
func (s *Store) register(reg prometheus.Registerer) {
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_pods_" + name, Help: help}, func() float64 {
			return float64(value())
		})
	}
	reg.MustRegister(
		gauge("listed", "1: the API server has said which pods there are; 0: none is known.", func() int {
			if s.now.Load() == nil {
				return 0
			}
			return 1
		}),
		gauge("running", "Running pods of the namespaces served, by the API server.", func() int { return s.index().pods }),
		gauge("label_sets", "Different sets of labels that running pods have or had lately; pods with the same labels share them.", s.interner.count))
}
