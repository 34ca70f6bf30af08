package dashboard

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A window is what is kept of the pods of a namespace, or of nodes: as much as was
// asked for of it.
type window struct {
	windows   *windows
	namespace string // empty: nodes
	used      time.Time
	users     int

	mu      sync.Mutex
	sources map[string]*source
	// subjects are pods or nodes, by name: what each node has of them. It is one
	// node, but for pods that have moved.
	subjects map[string][]*subject
	told     int64 // the last slot that was shown, in Unix seconds
	tracks   atomic.Int64
	dropped  bool // nobody finds it any more: what still comes is not taken over
}

// A source is what is here of one node.
type source struct {
	last   int64   // the slot until which all is here, in Unix seconds; 0: nothing is
	flight *flight // under way, or nil
	// failed is when the node, although it is well, last failed to tell its history.
	failed time.Time
	// lost is the last slot of a time of which it could tell a part only, in Unix
	// seconds; 0: there is none.
	lost int64
	why  error // of failed, or of lost; nil: neither
	// missed is the last slot that the node failed to tell of when it was asked, in
	// Unix seconds: it was shown without the node's.
	missed int64
}

// retryAfter is how long a node that could not tell its history is not asked for it
// again.
const retryAfter = 5 * time.Second

// waitFor is how many slots are left off at most for a node whose answer is still on
// its way: pages ask every 5 to 30 s, which is two slots and one that has begun.
const waitFor = 3

// A flight is a question to some nodes for their history.
type flight struct {
	nodes    []string
	from, to []int64 // of each node, in Unix seconds
	done     chan struct{}
}

// An asked node is one of a view, and what is here of it.
type asked struct {
	node   snapshot.NodeView
	source *source
}

// brought is what a window knows when it is read.
type brought struct {
	// edge is the last slot that is to be shown, in Unix seconds.
	edge int64
	// late tells that a node's newest answer is still on its way; whole that nothing
	// is missing that is shown.
	late, whole bool
}

// bring has the window know what the nodes have told of by the view. The last slot to
// be shown is that of the view, or one before if a node that is well has not told of
// it yet. It does not wait for nodes that fail, nor for any beyond the end of ctx. A
// slot that was shown is not taken back when a node that had failed answers again, and
// has not got it.
func (w *window) bring(ctx context.Context, view *snapshot.View, names []string) brought {
	nodes, next, flights := w.plan(view, names)
	if len(next.nodes) > 0 {
		w.windows.fly(w, next)
		flights = append(flights, next)
	}
	for _, f := range flights {
		select {
		case <-f.done:
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.edge(view.Slot(), nodes)
	w.told = max(w.told, b.edge)
	oldest := w.windows.oldest(b.edge)
	b.whole = !slices.ContainsFunc(nodes, func(n asked) bool {
		newest, _ := n.node.Newest()
		return n.node.Missing() != nil || n.source.last < min(b.edge, newest) || n.source.lost > oldest
	})
	return b
}

// edge is the last slot that is to be shown when newest is that of the view, and
// whether a node is late. The caller holds w.mu.
func (w *window) edge(newest int64, nodes []asked) brought {
	resolution := w.windows.resolution()
	b := brought{edge: newest}
	for _, n := range nodes {
		s := n.source
		_, answered := n.node.Newest()
		switch {
		case s.last == 0 && s.missed == 0 && w.told >= newest:
			// Others were shown already without it; of its pods nothing is shown yet.
		case n.node.Pending() || s.flight != nil:
			b.late = b.late || n.node.Pending()
			had := max(s.last, s.missed)
			if had < newest-waitFor*resolution { // nobody asked in the last slots
				had = newest - resolution
			}
			b.edge = min(b.edge, had)
		case !answered:
			s.missed = max(s.missed, newest)
		case s.last == newest-resolution && s.missed < newest:
			b.edge = min(b.edge, s.last)
		}
	}
	return b
}

// plan finds the nodes of the view, and takes over what it has of them that follows
// what is here. next is the flight that is to bring the rest, of no nodes if there is
// none; flights are those that are under way.
func (w *window) plan(view *snapshot.View, names []string) (nodes []asked, next *flight, flights []*flight) {
	resolution := w.windows.resolution()
	oldest := w.windows.oldest(view.Slot())
	now := time.Now()
	nodes = make([]asked, 0, len(names))
	next = &flight{done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		n, ok := view.On(name)
		if !ok {
			continue
		}
		name = n.Name() // which does not hold the whole path
		s := w.source(name)
		nodes = append(nodes, asked{n, s})
		switch newest, answered := n.Newest(); {
		case !answered || s.last >= newest: // it fails, or has nothing else
		case s.flight != nil:
			if !slices.Contains(flights, s.flight) {
				flights = append(flights, s.flight)
			}
		case s.last != 0 && s.last == newest-resolution && w.took(s, w.newest(name, n), newest, newest, nil) == nil:
		case now.Sub(s.failed) < retryAfter:
		default:
			s.flight = next
			next.nodes = append(next.nodes, name)
			next.from = append(next.from, max(oldest, s.last+resolution))
			next.to = append(next.to, newest)
		}
	}
	return nodes, next, flights
}

// query is what nodes are asked for.
func (w *window) query(from, to int64) model.Query {
	return model.Query{
		Pods: w.namespace != "", Namespace: w.namespace, NoOwn: w.namespace != "",
		From: from, To: to, Metrics: model.MetricsOf(columns...),
	}
}

// source is what is here of a node. The caller holds w.mu.
func (w *window) source(node string) *source {
	s := w.sources[node]
	if s == nil {
		s = &source{}
		w.sources[node] = s
	}
	return s
}

// arrived takes over what node i of a flight has told of some slots, or why it has
// not, and tells whether to go on.
func (w *window) arrived(f *flight, i int, a apiv1.NodeAnswer, from, to int64, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sources[f.nodes[i]]
	if w.dropped || s == nil || s.flight != f {
		return false
	}
	if known, ok := errors.AsType[*agents.Error](err); err == nil || ok && known.Part {
		err = w.took(s, a, from, to, err)
	}
	if err != nil {
		s.failed, s.why = time.Now(), err
	}
	if err != nil || to == f.to[i] {
		s.flight = nil
	}
	return err == nil
}

// empty tells that nothing was ever asked for it: no node has what it is of.
func (w *window) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sources) == 0
}
