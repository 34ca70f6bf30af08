package snapshot

import (
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// ahead is what is known of a slot that is not shown yet. While somebody wants to know
// slot after slot, all nodes are asked before the next one is shown, and nobody waits
// for them. It is under the snapshot's lock.
type ahead struct {
	wanted int64 // the slot that was shown when somebody last wanted to know
	timer  *time.Timer
	view   *View // nil: none
	never  bool  // nobody is asked ahead, in tests of what happens without
}

func (a *ahead) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// plan has a slot that is known shown when its time comes, so that the one before is
// not kept any longer, and then the nodes asked for the next when it is due. The caller
// holds s.mu.
func (s *Snapshot) plan(slot int64) {
	s.ahead.stop()
	if s.closed || s.ahead.never {
		return
	}
	if s.ahead.view != nil {
		s.ahead.timer = time.AfterFunc(time.Until(model.ShownFrom(slot, s.resolution)), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.reveal(s.shown())
			s.plan(slot)
		})
		return
	}
	next := slot + int64(s.resolution/time.Second)
	s.ahead.timer = time.AfterFunc(time.Until(model.Due(next, s.resolution)), s.ask)
}

// ask asks the nodes for the slot that is due, unless nobody has wanted to know the
// one that is shown.
func (s *Snapshot) ask() {
	expected := s.expected.Nodes()
	slot := model.Sampled(time.Now(), s.resolution)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.flight != nil || s.ahead.wanted < slot-int64(s.resolution/time.Second) || s.current.Load().slot >= slot {
		return
	}
	s.start(slot, expected)
}

// show shows a view, or keeps it until its slot is shown. The caller holds s.mu.
func (s *Snapshot) show(v *View) {
	if v.slot > s.shown() {
		s.ahead.view = v
		return
	}
	s.ahead.view = nil
	s.current.Store(v)
}

// reveal shows the view that was kept, if it is of that slot or before. The caller
// holds s.mu.
func (s *Snapshot) reveal(slot int64) {
	if v := s.ahead.view; v != nil && v.slot <= slot {
		s.ahead.view = nil
		s.current.Store(v)
	}
}
