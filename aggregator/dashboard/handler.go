package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// DefaultWindow is what the scraper keeps by default.
	DefaultWindow = 15 * time.Minute
	// MaxHeaderBytes is for the server: all pods of a namespace are in one path,
	// 100,000 of them at 40 bytes.
	MaxHeaderBytes = 4 << 20
	// patience is how long an answer waits for agents, so that it takes a second at
	// most: a page shows nothing before it is there. The rest is for writing it, more
	// by writeName for each name, on cores that are still reading answers; a quarter of
	// it is for them in any case. Half of it is for the newest values of all nodes,
	// after which is known whom else to ask.
	patience     = 700 * time.Millisecond
	viewPatience = patience / 2
	writeName    = 60 * time.Microsecond
)

// A Config says what is served.
type Config struct {
	// Resolution is the distance of slots, the same as the agents'.
	Resolution time.Duration
	// Window is how much is told, up to the newest slot: at least one Resolution; 0 is
	// DefaultWindow.
	Window time.Duration
	// Namespaces, if not empty, are the only ones that are served.
	Namespaces []string
}

// A Snapshot has the newest values of all nodes, and knows which of them have which
// pods; *snapshot.Snapshot is one.
type Snapshot interface {
	Current(ctx context.Context) *snapshot.View
	Status() snapshot.Status
}

// Agents asks one node for its history; *agents.Client is one.
type Agents interface {
	Ask(ctx context.Context, node string, q model.Query, take func(bytes int) bool) (apiv1.NodeAnswer, error)
}

// A Fanout admits questions to many nodes; *fanout.Fanout is one.
type Fanout interface {
	Begin(ctx context.Context, nodes int, timeout time.Duration) (*fanout.Question, error)
}

// A Handler answers the Dashboard's questions, and every other path with a text.
type Handler struct {
	cfg      Config
	snapshot Snapshot
	windows  *windows
	crowd    apiv1.Crowd
	metrics  *metrics
	serve    http.Handler
}

// New returns a handler, which has to be closed. The metrics are registered with reg,
// once per registry.
func New(cfg Config, s Snapshot, f Fanout, a Agents, reg prometheus.Registerer) *Handler {
	cfg.Window = cmp.Or(cfg.Window, DefaultWindow)
	h := &Handler{cfg: cfg, snapshot: s, windows: newWindows(cfg, f, a)}
	h.metrics = newMetrics(reg, h.windows)
	h.serve = apiv1.Compressed(http.HandlerFunc(h.answer))
	return h
}

// Close ends what agents are being asked, and waits for it.
func (h *Handler) Close() { h.windows.close() }

// ServeHTTP answers any method and any path with 200: whatever else makes the
// Dashboard show nothing at all. Query parameters mean nothing, which is what
// releases that send a timeout expect.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.serve.ServeHTTP(w, r) }

// Before returns a handler that answers the contract's paths and leaves all others to
// next. It takes them as they are: a ServeMux would redirect those that have an empty
// name in them.
func (h *Handler) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path+"/", Prefix) {
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	q, ok := parse(r.URL.EscapedPath())
	if !ok {
		h.page(w, r)
		return
	}
	head.Set("Content-Type", "application/json")
	if len(h.cfg.Namespaces) > 0 && q.namespace != "" && !slices.Contains(h.cfg.Namespaces, q.namespace) {
		q.names = nil
	}
	v := h.windows.enter(q.namespace)
	edge := h.bring(r.Context(), v, &q)
	defer h.windows.leave(v, edge)
	defer h.crowd.Enter(head, r)() // who waits for agents takes no place yet
	h.render(w, v, &q, edge)
}

// bring has the window know what there is of the question, as far as it comes in time,
// and returns the last slot to be shown, in Unix seconds. If nodes are late with their
// newest values when the others' history is here, it waits for them once more.
func (h *Handler) bring(ctx context.Context, v *window, q *question) (edge int64) {
	began := time.Now()
	most := max(patience/4, patience-time.Duration(len(q.names))*writeName)
	limited, cancel := context.WithDeadline(ctx, began.Add(most))
	defer cancel()
	for _, wait := range []time.Duration{min(viewPatience, most), most} {
		soon, cancel := context.WithDeadline(ctx, began.Add(wait))
		view := h.snapshot.Current(soon)
		cancel()
		nodes := q.names
		if q.namespace != "" {
			nodes = view.Holders(q.namespace, q.names, view.Slot()-h.windows.shown()*h.windows.resolution())
		}
		b := v.bring(limited, view, nodes)
		edge = b.edge
		if !b.late || wait == most || limited.Err() != nil {
			h.metrics.told(b.whole)
			break
		}
	}
	return edge
}
