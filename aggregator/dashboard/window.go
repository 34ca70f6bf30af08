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
func (w *window) bring(ctx context.Context, view *snapshot.View, nodes []string) brought {
	edge, late := view.Slot(), false
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
		s := w.source(n.Name())
		_, answered := n.Newest()
		switch {
		case s.last == 0 && s.missed == 0 && w.told >= newest:
			// Others were shown already without it; of its pods nothing is shown yet.
		case n.Pending() || s.flight != nil:
			late = late || n.Pending()
			had := max(s.last, s.missed)
			if had < newest-waitFor*resolution { // nobody asked in the last slots
				had = newest - resolution
			}
			edge = min(edge, had)
		case !answered:
			s.missed = max(s.missed, newest)
		case s.last == newest-resolution && s.missed < newest:
			edge = min(edge, s.last)
		}
	}
	w.told = max(w.told, edge)
	return brought{edge, late, w.whole(view, nodes, edge)}
}

// whole tells whether nothing is missing up to edge. The caller holds w.mu.
func (w *window) whole(view *snapshot.View, nodes []string, edge int64) bool {
	for _, name := range nodes {
		n, ok := view.On(name)
		if !ok {
			continue
		}
		s := w.source(n.Name())
		newest, _ := n.Newest()
		if n.Missing() != nil || s.last < min(edge, newest) || s.lost > w.windows.oldest(edge) {
			return false
		}
	}
	return true
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
	oldest := w.windows.oldest(view.Slot())
	now := time.Now()
	next = &flight{done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range nodes {
		n, ok := view.On(name)
		if !ok {
			continue
		}
		name = n.Name() // which does not hold the whole path
		s := w.source(name)
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

// took takes over what a node has told of some slots. partly is why that is not all;
// nil: it is. The error is why these slots have to be asked for again. The caller holds
// w.mu.
func (w *window) took(s *source, a apiv1.NodeAnswer, from, to int64, partly error) error {
	answer := apiv1.Answer{Nodes: []apiv1.NodeAnswer{a}}
	r := apiv1.Range{From: from, To: to, Metrics: columns}
	room := true
	if w.namespace == "" {
		for _, own := range r.Nodes(&answer) {
			room = w.subject(a.Node, a.Node).add(w, own) && room
		}
	} else {
		for p := range r.Pods(&answer, w.namespace) {
			pod := w.subject(p.Name, a.Node)
			for _, c := range p.Containers {
				room = pod.add(w, c) && room
			}
		}
	}
	if missing := answer.Coverage.Missing; len(missing) > 0 {
		return errors.New(missing[0].Err)
	}
	if !room && w.size() <= w.windows.most {
		return errTooMuch // others have it, for now
	}
	if !room {
		partly = errTooMuch
	}
	s.last = to
	if partly != nil {
		s.lost, s.why = to, partly
	} else if s.lost <= w.windows.oldest(to) {
		s.lost, s.why = 0, nil
	}
	return nil
}

// errTooMuch is why a container is not shown.
var errTooMuch = errors.New("there is no room for all of its containers, see rollcall_dashboard_kept_bytes: pages ask for too many, or --dashboard-window is too long")

// add adds the points of a container, or of a node. It tells whether there was room.
func (s *subject) add(w *window, points *series.Series) bool {
	all := points.Points()
	if len(all) == 0 {
		return true
	}
	i := slices.IndexFunc(s.tracks, func(t *track) bool { return t.name == points.Name })
	if i < 0 {
		if !w.windows.room() {
			return false
		}
		i = len(s.tracks)
		s.tracks = append(s.tracks, newTrack(points.Name, int(w.windows.cells())))
		w.count(1)
	}
	for j := range all {
		s.tracks[i].add(&all[j], points.Values(&all[j]), w.windows.resolution())
	}
	return true
}

// count counts tracks that have come, or gone. The caller holds w.mu.
func (w *window) count(tracks int) {
	w.tracks.Add(int64(tracks))
	w.windows.tracks.Add(int64(tracks))
}

// drop has the window take over nothing more.
func (w *window) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped = true
	w.count(-int(w.tracks.Load()))
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
			w.count(len(s.tracks) - had)
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
