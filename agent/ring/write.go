package ring

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// ExitStore is the process's exit code when Pebble cannot go on and ends it,
// which no failure of the disk should bring about; see guard.
const ExitStore = 74 // EX_IOERR of sysexits.h

// diskEvery is how many slots there are for one look at the store's size: it
// costs 10 µs, 4 % of what a slot costs.
const diskEvery = 4

// write is the writer: the only goroutine that opens, writes and closes the
// store. It may hang as long as the disk does; nothing else waits for it
// without a limit.
func (r *Ring) write() {
	defer close(r.stopped)
	r.work(func() { r.attach(false) })
	close(r.ready)
	for {
		select {
		case <-r.wake:
			r.work(r.step)
		case <-r.stop:
			r.work(r.finish)
			return
		}
	}
}

// work does something that may take long.
func (r *Ring) work(f func()) {
	r.mu.Lock()
	r.busy = time.Now()
	r.mu.Unlock()
	f()
	r.mu.Lock()
	r.busy, r.late = time.Time{}, false
	r.mu.Unlock()
}

// step does what there is to do, and tells those who asked for it.
func (r *Ring) step() {
	r.mu.Lock()
	if r.abandon { // the store broke because of that
		r.mu.Unlock()
		return
	}
	askers := r.askers
	r.askers = nil
	r.mu.Unlock()
	r.mend()
	err := r.flush()
	for _, done := range askers {
		done <- err
	}
	if st := r.current(); st != nil && st.broken() != nil {
		r.poke() // it is closed, and what was not written is, in the next step
	}
}

func (r *Ring) current() *store {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store
}

// mend closes a store that is broken, and opens one that is not there or can
// only be read. A store that broke soon after it was opened is not written for
// some slots, so that a fault that stays costs little.
func (r *Ring) mend() {
	if st := r.current(); st != nil && st.broken() != nil {
		r.mu.Lock()
		quick := r.sinceAttach < reopenEvery
		r.mu.Unlock()
		r.detach(st, fmt.Errorf("the ring in %s was closed: %w", r.cfg.Dir, st.broken()))
		r.attach(quick)
		return
	}
	r.mu.Lock()
	st, retry := r.store, r.retryIn <= 0 && (r.store == nil || r.store.readOnly)
	r.mu.Unlock()
	if !retry {
		return
	}
	if st != nil {
		if err := r.writable(); err != nil {
			r.mu.Lock()
			r.setErr(err)
			r.retryIn = reopenEvery
			r.mu.Unlock()
			return // still only to be read
		}
		r.mu.Lock()
		r.store = nil
		r.mu.Unlock()
		_ = st.close() // nothing was written
	}
	r.attach(false)
}

// flush writes all that is not on disk: the closed blocks, then the open
// block's record. It does so in this order, because the record overwrites one
// of the block before it.
func (r *Ring) flush() error {
	r.mu.Lock()
	st := r.store
	if st == nil || st.readOnly {
		defer r.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrNotStored, r.err)
	}
	waiting := r.waiting
	r.mu.Unlock()

	free, err := r.dir.room()
	r.mu.Lock()
	r.free = free
	r.mu.Unlock()
	if err != nil {
		return r.failed(err)
	}
	if !r.dir.exists(storeName) { // Pebble would go on with files that nobody finds again
		st.fail(errGone)
		return r.failed(errGone)
	}
	for _, b := range waiting {
		info, err := st.writeBlock(b)
		if err != nil {
			return r.failed(fmt.Errorf("write the block of %d: %w", b.start, err))
		}
		r.mu.Lock()
		r.stored = append(r.stored, info)
		r.drop(b)
		r.mu.Unlock()
	}
	if err := r.flushRecord(st); err != nil {
		return r.failed(err)
	}
	if err := r.expire(st); err != nil {
		return r.failed(fmt.Errorf("delete old blocks: %w", err))
	}
	r.mu.Lock()
	look := r.sinceAttach%diskEvery == 0
	aside, size := r.aside, r.disk
	r.mu.Unlock()
	if look {
		size = st.diskBytes()
		if len(aside) > 0 {
			aside = r.dir.aside() // somebody may have deleted them
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aside, r.disk = aside, size
	r.setErr(nil)
	return nil
}

// drop takes a block that is on disk from those that wait, if it still does.
// The caller holds r.mu.
func (r *Ring) drop(b *block) {
	for i, w := range r.waiting {
		if w == b {
			r.waiting = append(r.waiting[:i:i], r.waiting[i+1:]...)
			return
		}
	}
}

// flushRecord writes what grew in the open block.
func (r *Ring) flushRecord(st *store) error {
	r.mu.Lock()
	b := r.open
	if b == nil || b.unstored() == 0 {
		r.mu.Unlock()
		return nil
	}
	record, index := b.appendRecord(nil), b.last
	r.mu.Unlock()
	if err := st.writeRecord(index, record); err != nil {
		return fmt.Errorf("write slot %d: %w", b.slot(index), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b.markRecorded()
	r.metrics.written.Add(float64(len(record)))
	return nil
}

// failed notes why there is no writing, and returns it as Append's error.
func (r *Ring) failed(err error) error {
	r.metrics.errors.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setErr(err)
	return fmt.Errorf("%w: %w", ErrNotStored, err)
}

// finish ends the writer: what is not on disk is written, unless the ring is
// abandoned.
func (r *Ring) finish() {
	r.mu.Lock()
	st, abandon, askers := r.store, r.abandon, r.askers
	r.mu.Unlock()
	var err error
	if st != nil && !st.readOnly && !abandon {
		err = r.flush()
	}
	for _, done := range askers {
		done <- errClosed
	}
	r.mu.Lock()
	r.store = nil
	lost := 0
	for _, b := range r.inMemory() {
		lost += b.unstored()
	}
	r.mu.Unlock()
	if lost > 0 && !abandon {
		r.log.Error("slots that are in memory only are lost", "dir", r.cfg.Dir, "slots", lost)
	}
	if st != nil {
		err = errors.Join(err, st.close())
	}
	r.endErr = errors.Join(err, r.dir.release())
}

// listener is what the store calls.
func (r *Ring) listener() listener {
	return listener{
		log: r.log,
		failed: func(error) {
			r.metrics.errors.Inc()
			r.poke()
		},
		fatal: r.fatal,
	}
}

// fatal ends the process. The next start then sets this store aside, so that
// what ended one process does not end all that follow.
func (r *Ring) fatal(err error) {
	r.log.Error("the ring's store cannot go on: ending the process", "dir", r.cfg.Dir, "exitCode", ExitStore, "err", err)
	_ = r.dir.write(fatalName, fmt.Sprintf("Pebble ended the process: %v", err))
	os.Exit(ExitStore)
}
