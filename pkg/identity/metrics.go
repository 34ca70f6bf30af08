package identity

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	reloadsOK, reloadsFailed prometheus.Counter
	refused                  map[Reason]prometheus.Counter // read only
}

func newMetrics(reg prometheus.Registerer, expiry func() float64) *metrics {
	notAfter := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rollcall_identity_certificate_expiry_timestamp_seconds",
		Help: "When the certificate in use expires, in Unix seconds.",
	}, expiry)
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_identity_reloads_total",
		Help: "Changes of the certificate files, by whether they could be used.",
	}, []string{"result"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_identity_refused_total",
		Help: "Handshakes in which this process refused the other side, by reason.",
	}, []string{"reason"})
	reg.MustRegister(notAfter, reloads, refused)
	m := &metrics{
		reloadsOK:     reloads.WithLabelValues("ok"),
		reloadsFailed: reloads.WithLabelValues("failed"),
		refused:       map[Reason]prometheus.Counter{},
	}
	for _, r := range reasons() {
		m.refused[r] = refused.WithLabelValues(string(r))
	}
	return m
}

// logEvery is how often a refusal for the same reason is logged: a client that
// is refused comes back every few seconds, and so do 5000.
const logEvery = time.Minute
