package dashboard

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/series"
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
	tracks   atomic.Int64
}

// A source is what is here of one node.
type source struct {
	last   int64   // the slot until which all is here, in Unix seconds; 0: nothing is
	flight *flight // under way, or nil
	// failed is when the node, although it is well, last failed to tell its history.
	failed time.Time
	// missed is the last slot that the node failed to tell of when it was asked, in
	// Unix seconds: it was shown without the node's.
	missed int64
}

// A subject is what a node has of a pod, or of itself.
type subject struct {
	node   string
	tracks []*track
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

// bring has the window know what the nodes have told of by the view, and returns the
// last slot that is to be shown, in Unix seconds: that of the view, or one before
// if a node that is well has not told of it yet. It does not wait for nodes that fail,
// nor for any beyond the end of ctx. A slot that was shown is not taken back when a
// node that had failed answers again, and has not got it. late tells that an answer is
// still on its way.
func (w *window) bring(ctx context.Context, view *snapshot.View, nodes []string) (edge int64, late bool) {
	edge = view.Slot()
	for _, f := range w.ask(view, nodes) {
		select {
		case <-f.done:
		case <-ctx.Done():
		}
	}
	resolution := w.windows.resolution()
	w.mu.Lock()
	defer w.mu.Unlock()
	newest := edge
	for _, name := range nodes {
		n, ok := view.On(name)
		if !ok {
			continue
		}
		s := w.source(name)
		_, answered := n.Newest()
		switch {
		case n.Pending() || s.flight != nil:
			late = late || n.Pending()
			had := max(s.last, s.missed)
			if had < newest-waitFor*resolution { // nobody asked in the last slots
				had = newest - resolution
			}
			edge = min(edge, had)
		case !answered:
			s.missed = newest
		case s.last == newest-resolution && s.missed != newest:
			edge = min(edge, s.last)
		}
	}
	return edge, late
}

// ask takes over from the view what it has that follows what is here, and asks nodes
// for the rest. It returns the flights that bring it.
func (w *window) ask(view *snapshot.View, nodes []string) []*flight {
	next, flights := w.plan(view, nodes)
	if len(next.nodes) == 0 {
		return flights
	}
	w.windows.fly(w, next)
	return append(flights, next)
}

// plan is ask without the asking: it makes the next flight, and finds those that are
// under way.
func (w *window) plan(view *snapshot.View, nodes []string) (next *flight, flights []*flight) {
	resolution := w.windows.resolution()
	oldest := view.Slot() - w.windows.cells()*resolution
	now := time.Now()
	next = &flight{done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range nodes {
		n, ok := view.On(name)
		if !ok {
			continue
		}
		s := w.source(name)
		switch newest, answered := n.Newest(); {
		case !answered || s.last >= newest: // it fails, or has nothing else
		case s.flight != nil:
			if !slices.Contains(flights, s.flight) {
				flights = append(flights, s.flight)
			}
		case s.last != 0 && s.last == newest-resolution && w.take(name, w.newest(name, n), newest, newest):
			s.last = newest
		case now.Sub(s.failed) < retryAfter:
		default:
			s.flight = next
			next.nodes = append(next.nodes, name)
			next.from = append(next.from, max(oldest, s.last+resolution))
			next.to = append(next.to, newest)
		}
	}
	return next, flights
}

// newest is what the view has of a node, as the node's answer.
func (w *window) newest(name string, n snapshot.NodeView) apiv1.NodeAnswer {
	a := apiv1.NodeAnswer{Node: name}
	if w.namespace != "" {
		a.Chunks = n.In(w.namespace)
	} else if own := n.Own(); own != nil {
		a.Chunks = [][]byte{own}
	}
	return a
}

// query is what nodes are asked for.
func (w *window) query(from, to int64) model.Query {
	return model.Query{
		Pods: w.namespace != "", Namespace: w.namespace, NoOwn: w.namespace != "",
		From: from, To: to, Metrics: model.MetricsOf(columns...),
	}
}

// take takes over what a node has told, and tells whether all of it could be read.
// The caller holds w.mu.
func (w *window) take(node string, a apiv1.NodeAnswer, from, to int64) bool {
	answer := apiv1.Answer{Nodes: []apiv1.NodeAnswer{a}}
	r := apiv1.Range{From: from, To: to, Metrics: columns}
	if w.namespace == "" {
		for _, own := range r.Nodes(&answer) {
			w.subject(node, node).add(w, own)
		}
		return len(answer.Coverage.Missing) == 0
	}
	for p := range r.Pods(&answer, w.namespace) {
		s := w.subject(p.Name, node)
		for _, c := range p.Containers {
			s.add(w, c)
		}
	}
	return len(answer.Coverage.Missing) == 0
}

// add adds the points of a container, or of a node.
func (s *subject) add(w *window, points *series.Series) {
	all := points.Points()
	if len(all) == 0 {
		return
	}
	i := slices.IndexFunc(s.tracks, func(t *track) bool { return t.name == points.Name })
	if i < 0 {
		i = len(s.tracks)
		s.tracks = append(s.tracks, newTrack(points.Name, int(w.windows.cells())))
		w.tracks.Add(1)
	}
	for j := range all {
		s.tracks[i].add(&all[j], points.Values(&all[j]), w.windows.resolution())
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

// subject is what a node has of the pod, or node, of that name.
func (w *window) subject(name, node string) *subject {
	all := w.subjects[name]
	for _, s := range all {
		if s.node == node {
			return s
		}
	}
	s := &subject{node: node}
	w.subjects[name] = append(all, s)
	return s
}

// arrived ends the part that node i has in a flight.
func (w *window) arrived(f *flight, i int, a apiv1.NodeAnswer, failed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sources[f.nodes[i]]
	if s == nil || s.flight != f {
		return
	}
	s.flight = nil
	if failed || !w.take(f.nodes[i], a, f.from[i], f.to[i]) {
		s.failed = time.Now()
		return
	}
	s.last = f.to[i]
}

// size is about how many bytes the window has.
func (w *window) size() int { return int(w.tracks.Load()) * trackSize(int(w.windows.cells())) }

// prune drops what is older than that slot, in Unix seconds.
func (w *window) prune(oldest int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, all := range w.subjects {
		all = slices.DeleteFunc(all, func(s *subject) bool {
			had := len(s.tracks)
			s.tracks = slices.DeleteFunc(s.tracks, func(t *track) bool { return t.last < oldest })
			w.tracks.Add(int64(len(s.tracks) - had))
			return len(s.tracks) == 0
		})
		if w.subjects[name] = all; len(all) == 0 {
			delete(w.subjects, name)
		}
	}
	for name, s := range w.sources {
		if s.flight == nil && max(s.last, s.missed) < oldest && time.Since(s.failed) >= retryAfter {
			delete(w.sources, name)
		}
	}
}
