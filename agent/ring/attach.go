package ring

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errDamaged is wrapped by errors about a store that cannot be read in full.
var errDamaged = errors.New("the store is damaged")

// ioTries is how often a store that cannot be read for errors of the disk is
// tried before it is taken for damaged: with reopenEvery, three minutes.
const ioTries = 3

// attach opens the store and takes over what it holds. If it can be read but
// not written, or if readOnly is set, it is opened for reading, and r.err says
// why. Only the writer calls it.
func (r *Ring) attach(readOnly bool) {
	st, held, err := r.openDir(readOnly)
	aside, size := r.dir.aside(), int64(0)
	if st != nil {
		size = st.diskBytes()
	}
	r.mu.Lock() // nothing under it waits for the disk
	defer r.mu.Unlock()
	r.sinceAttach, r.retryIn = 0, reopenEvery
	r.aside, r.disk = aside, size
	if err != nil {
		r.metrics.errors.Inc()
		r.setErr(err)
	}
	if st == nil {
		return
	}
	r.takeOver(held)
	r.store = st
	if err == nil {
		r.log.Info("ring opened", "dir", r.cfg.Dir, "blocks", len(held.blocks), "openSlots", r.openSlots(), "tookMs", r.busyFor().Milliseconds())
	}
}

// openDir opens the directory's store, for reading only if it has to be. Before
// anything in it is changed it is read in full, so that a damaged store, or
// one of another version, is left as it was found.
func (r *Ring) openDir(readOnly bool) (*store, list, error) {
	cannot, err := r.dir.acquire()
	if err != nil {
		err = fmt.Errorf("open the ring in %s: %w", r.cfg.Dir, err)
		if !cannot {
			return nil, list{}, err
		}
	} else if err = r.dir.finishSwitch(); err != nil {
		err = fmt.Errorf("open the ring in %s: %w", r.cfg.Dir, err)
	} else if why := r.dir.read(fatalName); why != "" && r.dir.exists(storeName) {
		return r.replace("fatal", errors.New(why))
	}
	found, ferr := r.dir.find()
	switch {
	case ferr != nil:
		return nil, list{}, errors.Join(err, fmt.Errorf("open the ring in %s: %w", r.cfg.Dir, ferr))
	case found == noStore && err == nil:
		return r.create()
	case found == noStore:
		return nil, list{}, err
	case found == noPointer && err == nil:
		return r.replace("no-marker", errors.New("the marker of the manifest is missing, but not the data"))
	}

	st, held, rerr := r.load(true)
	if rerr != nil {
		rerr = fmt.Errorf("read the ring in %s: %w", r.cfg.Dir, rerr)
		if err != nil || !r.isDamage(rerr) {
			return nil, list{}, errors.Join(err, rerr)
		}
		return r.replace("unreadable", rerr)
	}
	r.ioFailures = 0
	if err == nil {
		err = r.writable()
	}
	if err != nil || readOnly {
		return st, held, err
	}
	if err := st.close(); err != nil {
		return nil, list{}, fmt.Errorf("open the ring in %s: %w", r.cfg.Dir, err)
	}
	if err = r.dir.syncLogs(); err == nil {
		st, err = openStore(r.cfg, r.dir.join(storeName), false, false, r.listener())
	}
	if err == nil {
		return st, held, nil
	}
	err = fmt.Errorf("open the ring in %s for writing: %w", r.cfg.Dir, err)
	st, held, rerr = r.load(true)
	return st, held, errors.Join(err, rerr)
}

// load opens and reads the store.
func (r *Ring) load(readOnly bool) (*store, list, error) {
	st, err := openStore(r.cfg, r.dir.join(storeName), readOnly, false, r.listener())
	if err != nil && strings.Contains(err.Error(), "unknown format major version") {
		// Pebble has no error value for it.
		err = fmt.Errorf("%w: a newer program wrote it, use that one, or another --data-dir: %w", errSchema, err)
	}
	if err != nil {
		return nil, list{}, err
	}
	held, err := st.load()
	if err != nil {
		return nil, list{}, errors.Join(err, st.close())
	}
	return st, held, nil
}

// create makes a new store.
func (r *Ring) create() (*store, list, error) {
	err := r.writable()
	if err == nil {
		err = r.dir.fs.RemoveAll(r.dir.join(storeName)) // of a creation that was cut short
	}
	var st *store
	if err == nil {
		st, err = openStore(r.cfg, r.dir.join(storeName), false, true, r.listener())
	}
	if err != nil {
		return nil, list{}, fmt.Errorf("make the ring in %s: %w", r.cfg.Dir, err)
	}
	return st, list{}, nil
}

// writable is nil if it makes sense to open the store for writing.
func (r *Ring) writable() error {
	free, err := r.dir.room()
	r.mu.Lock()
	r.free = free
	r.mu.Unlock()
	if err == nil {
		err = r.dir.probe()
	}
	if err != nil {
		return fmt.Errorf("write to %s: %w", r.cfg.Dir, err)
	}
	return nil
}

// isDamage tells damage from what may pass: a store of another version, no
// permission, no file handles, and for some time errors of the disk.
func (r *Ring) isDamage(err error) bool {
	switch {
	case errors.Is(err, errSchema), cannotWrite(err),
		errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return false
	case errors.Is(err, syscall.EIO):
		r.ioFailures++
		return r.ioFailures >= ioTries
	}
	return true
}

// replace makes a new store with what can be read of the damaged one, and sets
// that one aside.
func (r *Ring) replace(slug string, why error) (*store, list, error) {
	fail := func(err error) (*store, list, error) {
		return nil, list{}, fmt.Errorf("%w and cannot be replaced yet: %w; damage: %w", errDamaged, err, why)
	}
	if err := r.writable(); err != nil {
		return fail(err)
	}
	if err := r.dir.fs.RemoveAll(r.dir.join(newName)); err != nil {
		return fail(err)
	}
	st, err := openStore(r.cfg, r.dir.join(newName), false, true, r.listener())
	if err != nil {
		return fail(err)
	}
	unread, err := salvageStore(r.cfg.FS, r.dir.join(storeName), st)
	if err := errors.Join(err, st.close()); err != nil {
		return fail(err)
	}
	says, _, _ := strings.Cut(why.Error(), "\n") // Pebble's errors go on with what helps nobody
	name, err := r.dir.switchStores(slug, says, time.Now())
	if err != nil {
		return fail(err)
	}
	_ = r.dir.fs.Remove(r.dir.join(fatalName)) // mostly not there
	r.ioFailures = 0
	st, held, err := r.load(false)
	if err != nil {
		return nil, list{}, fmt.Errorf("open the ring that was made of a damaged one in %s: %w", r.cfg.Dir, err)
	}
	r.metrics.setAside.Inc()
	r.log.Error("the store was damaged: it is set aside, what could be read of it is in a new one", "dir", r.cfg.Dir,
		"setAside", name, "blocks", len(held.blocks), "chunksLost", lostChunks(held.blocks), "unreadFiles", unread, "err", says)
	return st, held, nil
}

func lostChunks(blocks []BlockInfo) int {
	n := 0
	for i := range blocks {
		n += blocks[i].Lost
	}
	return n
}

// detach closes the store for a reason. Only the writer calls it.
func (r *Ring) detach(st *store, why error) {
	r.mu.Lock()
	r.store = nil
	r.setErr(why)
	r.mu.Unlock()
	st.abandon()
	if err := st.close(); err != nil {
		r.log.Debug("close the broken store", "err", err)
	}
}

// takeOver merges what the store holds with what is in memory. The caller
// holds r.mu.
func (r *Ring) takeOver(held list) {
	open := held.open
	if held.lost != nil {
		r.metrics.errors.Inc()
		r.log.Warn("part of the newest block is lost", "dir", r.cfg.Dir, "err", held.lost)
	}
	if r.seqKnown {
		// This is our own store again. Memory has all of the blocks that it
		// has, except for closed ones that were written just before it broke.
		stored := map[uint64]bool{}
		for i := range held.blocks {
			stored[held.blocks[i].Seq] = true
		}
		waiting := r.waiting[:0:0]
		for _, b := range r.waiting {
			if !slices.ContainsFunc(append(b.earlier, b.seq), func(seq uint64) bool { return stored[seq] }) {
				waiting = append(waiting, b)
			}
		}
		r.waiting = waiting
		for _, b := range r.inMemory() {
			if open != nil && slices.Contains(append(b.earlier, b.seq), open.seq) {
				open = nil
			}
		}
	}
	r.seqKnown = true
	r.stored = held.blocks
	r.nextSeq = max(r.nextSeq, held.nextSeq)
	if open != nil && held.lost != nil {
		// Records that do not follow would stay between those to come: as a
		// new block, the next record holds all of it.
		open.seq = r.takeSeq()
		open.markUnstored()
	}
	r.renumber()
	if open != nil {
		if r.open == nil && len(r.waiting) == 0 {
			r.open = open
		} else {
			r.waiting = append([]*block{open}, r.waiting...)
		}
	}
}

// renumber gives the blocks in memory, of which nothing is stored for sure,
// numbers after all that the store knows.
func (r *Ring) renumber() {
	for _, b := range r.inMemory() {
		b.earlier = append(b.earlier, b.seq)
		b.seq = r.takeSeq()
		b.markUnstored()
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
