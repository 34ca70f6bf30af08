package ring

import "github.com/rollcall-metrics/rollcall/pkg/model"

// Latest returns the slot that was appended last, in Unix seconds, and its
// samples, which must not be changed; ok is false if there are none, as at an
// agent's first start.
func (r *Ring) Latest() (slot int64, scrape model.Scrape, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		return 0, model.Scrape{}, false
	}
	if len(r.latest.scrape.Groups) == 0 { // of the run before
		return r.open.latest()
	}
	return r.latest.slot, r.latest.scrape, true
}

// Scrape returns the newest slot that is not after to, in Unix seconds, and its
// samples as they were appended, if it is one of the last two since the ring was
// opened; otherwise ok is false, and Chunks may know more.
func (r *Ring) Scrape(to int64) (slot int64, scrape model.Scrape, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.latest
	if a.slot > to {
		a = r.before
	}
	return a.slot, a.scrape, len(a.scrape.Groups) > 0 && a.slot <= to
}

// Late tells whether a slot was appended only after the time at which aggregators
// begin to ask for it (model.Sampled), so that some may have been told of the one
// before. It knows of the last two that were appended since the ring was opened.
func (r *Ring) Late(slot int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest.late && r.latest.slot == slot || r.before.late && r.before.slot == slot
}
