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
		r.latestSlot, r.latest, _ = r.open.latest()
	}
	return r.latestSlot, r.latest, true
}

// Scrape returns the newest slot that is not after to, in Unix seconds, and its
// samples, as Latest does, if it is one of the last two that were appended;
// otherwise ok is false, and Chunks may know more.
func (r *Ring) Scrape(to int64) (slot int64, scrape model.Scrape, ok bool) {
	slot, scrape, ok = r.Latest()
	if !ok || slot <= to {
		return slot, scrape, ok
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.beforeSlot, r.before, len(r.before.Groups) > 0 && r.beforeSlot <= to
}
