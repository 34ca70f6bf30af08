package ring

import (
	"fmt"
	"time"
)

// flush writes all that is not on disk: the closed blocks, then the open
// block's record. It does so in this order, because the record overwrites one
// of the block before it. Only the goroutine that appends calls it.
func (r *Ring) flush() error {
	r.mu.Lock()
	st := r.store
	if st == nil {
		defer r.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrNotStored, r.err)
	}
	waiting := r.waiting
	r.mu.Unlock()

	for _, b := range waiting {
		info, err := st.writeBlock(b)
		if err != nil {
			return r.failed(fmt.Errorf("write the block of %d: %w", b.start, err))
		}
		r.mu.Lock()
		r.stored = append(r.stored, info)
		r.waiting = r.waiting[1:]
		r.mu.Unlock()
	}
	r.mu.Lock()
	var record []byte
	var index int
	if r.open != nil && r.open.unstored() > 0 {
		record, index = r.open.appendRecord(nil), r.open.last
	}
	r.mu.Unlock()
	if record != nil {
		if err := st.writeRecord(index, record); err != nil {
			return r.failed(fmt.Errorf("write slot %d: %w", r.open.slot(index), err))
		}
	}
	r.mu.Lock()
	if record != nil {
		r.open.markStored()
		r.metrics.written.Add(float64(len(record)))
	}
	r.mu.Unlock()
	if err := r.expire(st); err != nil {
		// What is to be kept is on disk.
		r.note(fmt.Errorf("delete old blocks: %w", err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setErr(nil)
	return nil
}

func (r *Ring) failed(err error) error {
	r.metrics.errors.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setErr(err)
	return fmt.Errorf("%w: %w", ErrNotStored, err)
}

// expire deletes the blocks written first, as long as the others hold enough
// measuring time, a few at a time. Counting what was measured rather than
// comparing with the clock means that no jump of the clock deletes history.
func (r *Ring) expire(st *store) error {
	r.mu.Lock()
	var have int64
	for i := range r.stored {
		have += r.stored[i].seconds()
	}
	n := 0
	for n < len(r.stored) && have-r.stored[n].seconds() >= int64(r.cfg.Retention/time.Second) {
		have -= r.stored[n].seconds()
		n++
	}
	if n < deleteBlocks {
		r.mu.Unlock()
		return nil
	}
	seq := r.stored[n-1].Seq + 1
	r.mu.Unlock()
	if err := st.deleteBlocks(seq); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored = append([]BlockInfo{}, r.stored[n:]...)
	return nil
}
