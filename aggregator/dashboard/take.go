package dashboard

import (
	"errors"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/series"
)

// A subject is what a node has of a pod, or of itself.
type subject struct {
	node   string
	tracks []*track
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

// size is about how many bytes the window has.
func (w *window) size() int { return w.windows.bytes(w.tracks.Load()) }

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
