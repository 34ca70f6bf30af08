package ring

import (
	"errors"
	"fmt"
)

// attach opens the store and takes over what it holds. What is in memory
// already waits to be written after it.
func (r *Ring) attach() {
	l := &listener{log: r.log, failed: r.note, fatal: r.fatal}
	st, err := openStore(r.cfg, l)
	if err != nil {
		r.detached(fmt.Errorf("open the ring in %s: %w", r.cfg.Dir, err))
		return
	}
	blocks, open, damaged, err := st.load()
	if err != nil {
		r.detached(fmt.Errorf("read the ring in %s: %w", r.cfg.Dir, errors.Join(err, st.close())))
		return
	}
	if damaged != nil {
		r.metrics.errors.Inc()
		r.log.Warn("part of the newest block is lost", "dir", r.cfg.Dir, "err", damaged)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	r.store, r.err, r.stored = st, nil, blocks
	if n := len(blocks); n > 0 {
		r.nextSeq = max(r.nextSeq, blocks[n-1].Seq+1)
	}
	if open != nil {
		r.nextSeq = max(r.nextSeq, open.seq+1)
		if damaged != nil {
			// Records that do not follow would stay between those to come: as a
			// new block, the next record holds all of it.
			open.seq = r.takeSeq()
			open.markUnstored()
		}
	}
	r.renumber()
	if open != nil {
		if r.open == nil && len(r.waiting) == 0 {
			r.open = open
		} else {
			r.waiting = append([]*block{open}, r.waiting...)
		}
	}
	r.log.Info("ring opened", "dir", r.cfg.Dir, "blocks", len(blocks), "openSlots", r.openSlots())
}

// renumber gives the blocks in memory, of which nothing is stored, numbers
// after all that the store knows.
func (r *Ring) renumber() {
	for _, b := range r.waiting {
		b.seq = r.takeSeq()
		b.markUnstored()
	}
	if r.open != nil {
		r.open.seq = r.takeSeq()
		r.open.markUnstored()
	}
}

func (r *Ring) takeSeq() uint64 {
	r.nextSeq++
	return r.nextSeq - 1
}

func (r *Ring) openSlots() int {
	if r.open == nil {
		return 0
	}
	return r.open.info(r.open.last).Slots
}

func (r *Ring) detached(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil || r.err.Error() != err.Error() {
		r.log.Error("samples are kept in memory only", "err", err)
	}
	r.err, r.retryIn = err, reopenEvery
	r.metrics.errors.Inc()
}
