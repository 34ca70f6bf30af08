package api

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// A Ring is read; *ring.Ring is one.
type Ring interface {
	Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error]
	Knows(namespace, pod string) (bool, error)
}

// peer answers aggregators.
type peer struct {
	node       string
	resolution time.Duration
	ring       Ring
	reading    *obs.Change
	answers    *prometheus.CounterVec
	seconds    prometheus.Histogram
}

// Peer returns the handler of the peer API; see pkg/wire. Who may ask is
// decided by the TLS configuration of its server. debug is the handler of the
// debug pages, which aggregators may read too.
func Peer(node string, resolution time.Duration, r Ring, debug http.Handler, log *slog.Logger, reg prometheus.Registerer) http.Handler {
	p := &peer{
		node: node, resolution: resolution, ring: r, reading: obs.NewChange(log, "ring for aggregators"),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_peer_answers_total",
			Help: "Answers to aggregators by result: ok, invalid, failed (the ring could not be read), broken (the aggregator went away).",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rollcall_peer_answer_seconds", Help: "Duration of answers to aggregators.",
			Buckets: []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3},
		}),
	}
	reg.MustRegister(p.answers, p.seconds)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wire.ChunksPath, p.chunks)
	mux.HandleFunc("GET "+wire.DebugPath, func(w http.ResponseWriter, r *http.Request) {
		page := r.Clone(r.Context())
		page.URL.Path = "/debug/" + strings.TrimPrefix(r.URL.Path, wire.DebugPath)
		page.URL.RawPath = ""
		debug.ServeHTTP(w, page)
	})
	return mux
}

func (p *peer) chunks(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	q, err := wire.ParseQuery(r.URL.Query())
	if err != nil {
		p.answers.WithLabelValues("invalid").Inc()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", wire.ContentType)
	result := p.answer(r.Context(), w, q)
	p.answers.WithLabelValues(result).Inc()
	p.seconds.Observe(time.Since(began).Seconds())
}

// answer streams the chunks and returns how it went.
func (p *peer) answer(ctx context.Context, w http.ResponseWriter, q model.Query) string {
	out, err := wire.NewWriter(w, &wire.Header{
		Node:       p.node,
		Resolution: uint32(p.resolution / time.Second),
	})
	if err != nil {
		return "broken"
	}
	n := 0
	var failed error
	for c, err := range p.ring.Chunks(ctx, q) {
		if failed = err; err != nil {
			break // it comes last
		}
		if out.Chunk(c) != nil {
			return "broken"
		}
		n++
	}
	known := n > 0
	if n == 0 && q.Namespace != "" && failed == nil {
		known, failed = p.ring.Knows(q.Namespace, q.Pod)
	}
	if ctx.Err() != nil {
		return "broken"
	}
	p.reading.Set(failed)
	switch err := out.End(known, failed); {
	case err != nil:
		return "broken"
	case failed != nil:
		return "failed"
	}
	return "ok"
}
