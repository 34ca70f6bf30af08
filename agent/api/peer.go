package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/series"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// A Ring is read; *ring.Ring is one. It is safe for concurrent use.
type Ring interface {
	// Chunks yields the chunks that answer the query, by time. They may hold
	// more than it asks for: other slots, containers and metrics, and slots
	// instead of steps. The bytes are valid until the next step. An error comes
	// last.
	Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error]
	// Pods lists the pods, each UID of them, of which Chunks yields something
	// for the same query, by namespace, name and UID. With an error the list
	// is of what could be read; the error of a ctx that has ended is one, too.
	Pods(ctx context.Context, q model.Query) ([]model.PodRef, error)
	// Scrape returns the newest slot that is not after to, in Unix seconds, and
	// its samples, which must not be changed. If it is not at hand ok is false,
	// and Chunks may know more.
	Scrape(to int64) (slot int64, scrape model.Scrape, ok bool)
	// Late tells whether the slot, in Unix seconds, is one that Scrape returns, and
	// came only after aggregators began to ask for it.
	Late(slot int64) bool
	// Knows tells whether there is any sample of the pod or, if pod is empty, of
	// the namespace, however old.
	Knows(namespace, pod string) (bool, error)
}

// peer answers aggregators.
type peer struct {
	cfg     PeerConfig
	ring    Ring
	reading *obs.Change
	answers *prometheus.CounterVec
	seconds prometheus.Histogram
}

// A PeerConfig is what aggregators are told of the agent.
type PeerConfig struct {
	Node string
	// Resolution is the distance of slots, Retention how long they are kept.
	Resolution, Retention time.Duration
}

// Peer returns the handler of the peer API; see pkg/wire. Who may ask is
// decided by the TLS configuration of its server. debug is the handler of the
// debug pages, which aggregators may read too.
func Peer(cfg PeerConfig, r Ring, debug http.Handler, log *slog.Logger, reg prometheus.Registerer) http.Handler {
	p := &peer{
		cfg: cfg, ring: r, reading: obs.NewChange(log, "ring for aggregators"),
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
	mux.HandleFunc("GET "+wire.ChunksPath, func(w http.ResponseWriter, r *http.Request) {
		serve(p, w, r, p.query, p.chunks)
	})
	mux.HandleFunc("GET "+wire.LatestPath, func(w http.ResponseWriter, r *http.Request) {
		serve(p, w, r, wire.ParseLatest, p.latest)
	})
	mux.HandleFunc("GET "+wire.DebugPath, func(w http.ResponseWriter, r *http.Request) {
		page := r.Clone(r.Context())
		page.URL.Path = "/debug/" + strings.TrimPrefix(r.URL.Path, wire.DebugPath)
		page.URL.RawPath = ""
		debug.ServeHTTP(w, page)
	})
	return mux
}

// serve parses a question and has it answered. answer writes all but the header
// and the end, and tells whether what was asked for is known, and what kept the
// answer from being complete; a failure to write is errBroken.
func serve[Q any](p *peer, w http.ResponseWriter, r *http.Request, parse func(url.Values) (Q, error),
	answer func(context.Context, *wire.Writer, Q) (known bool, err error),
) {
	began := time.Now()
	q, err := parse(r.URL.Query())
	if err != nil {
		p.answers.WithLabelValues("invalid").Inc()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", wire.ContentType)
	result := "broken"
	out, err := wire.NewWriter(w, &wire.Header{
		Node:       p.cfg.Node,
		Resolution: uint32(p.cfg.Resolution / time.Second),
		Retention:  uint64(p.cfg.Retention / time.Second),
		Time:       uint64(began.UnixMilli()),
	})
	if err == nil {
		known, failed := answer(r.Context(), out, q)
		result = p.end(r.Context(), out, known, failed)
	}
	p.answers.WithLabelValues(result).Inc()
	p.seconds.Observe(time.Since(began).Seconds())
}

// errBroken says that the aggregator has gone away.
var errBroken = errors.New("the answer cannot be written")

// end ends an answer and returns how it went.
func (p *peer) end(ctx context.Context, out *wire.Writer, known bool, failed error) string {
	if ctx.Err() != nil || errors.Is(failed, errBroken) {
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

// query parses a query, whose steps have to be made of whole slots.
func (p *peer) query(v url.Values) (model.Query, error) {
	q, err := wire.ParseQuery(v)
	if err == nil && q.Step%int64(p.cfg.Resolution/time.Second) != 0 {
		err = fmt.Errorf("parameter step: %d s are not a multiple of the resolution, %v", q.Step, p.cfg.Resolution)
	}
	return q, err
}

// chunks answers a query with what it asks for and no more. Chunks that cannot
// be read to their end are no reason to leave out the others.
func (p *peer) chunks(ctx context.Context, out *wire.Writer, q model.Query) (known bool, failed error) {
	n := series.NewNarrower(q, frames{out})
	for c, err := range p.ring.Chunks(ctx, q) {
		if err == nil {
			// Also if nothing of it is wanted.
			known = true
			err = n.Add(c)
		}
		if errors.Is(err, errBroken) {
			return known, err
		}
		failed = cmp.Or(failed, err)
	}
	if err := n.End(); failed == nil || errors.Is(err, errBroken) {
		failed = err
	}
	if !known && q.Namespace != "" && failed == nil {
		return p.ring.Knows(q.Namespace, q.Pod)
	}
	return known, failed
}

// frames writes to an aggregator; its errors are errBroken.
type frames struct{ out *wire.Writer }

func (f frames) Chunk(b []byte) error { return broken(f.out.Chunk(b)) }

func (f frames) Binned(values, weights []byte) error { return broken(f.out.Binned(values, weights)) }

func broken(err error) error {
	if err != nil {
		return errBroken
	}
	return nil
}
