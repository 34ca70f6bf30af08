package identity

import (
	"sync"
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

// rarely lets one event per reason through in each interval.
type rarely struct {
	every time.Duration

	mu      sync.Mutex
	last    map[Reason]time.Time
	skipped map[Reason]int
}

func newRarely(every time.Duration) *rarely {
	return &rarely{every: every, last: map[Reason]time.Time{}, skipped: map[Reason]int{}}
}

// allow tells whether it is time again for this reason and, if so, how many
// were skipped since the last time.
func (r *rarely) allow(reason Reason) (skipped int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if last, seen := r.last[reason]; seen && now.Sub(last) < r.every {
		r.skipped[reason]++
		return 0, false
	}
	skipped = r.skipped[reason]
	r.last[reason], r.skipped[reason] = now, 0
	return skipped, true
}
