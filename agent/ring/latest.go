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
	if len(r.latest.Groups) == 0 { // of the run before
		return r.open.latest()
	}
	return r.latestSlot, r.latest, true
}

// Scrape returns the newest slot that is not after to, in Unix seconds, and its
// samples as they were appended, if it is one of the last two since the ring was
// opened; otherwise ok is false, and Chunks may know more.
func (r *Ring) Scrape(to int64) (slot int64, scrape model.Scrape, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slot, scrape = r.latestSlot, r.latest
	if slot > to {
		slot, scrape = r.beforeSlot, r.before
	}
	return slot, scrape, len(scrape.Groups) > 0 && slot <= to
}

// Late tells whether a slot was appended only after the time at which aggregators
// begin to ask for it (model.Sampled), so that some may have been told of the one
// before. It knows of the slot that was appended last.
func (r *Ring) Late(slot int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slot != 0 && slot == r.lateSlot
}
