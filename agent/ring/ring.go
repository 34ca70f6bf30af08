package ring

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// ExitStore is the process's exit code when Pebble cannot write its log:
	// it has no way to go on, and none to be closed.
	ExitStore = 74 // EX_IOERR of sysexits.h

	// maxWaiting is how many closed blocks wait in memory for the store: two
	// hours, about 2 MB on a full node.
	maxWaiting = 8
	// reopenEvery is after how many slots a store that could not be opened is
	// tried again: a minute at 15 s.
	reopenEvery = 4
	// deleteBlocks is how many blocks are deleted at a time: fewer, larger
	// range deletions cost a third of the compactions.
	deleteBlocks = 4
)

// ErrNotStored is wrapped by the errors of [Ring.Append] that say that the
// sample is in memory but not on disk.
var ErrNotStored = errors.New("kept in memory, not on disk")

var errClosed = errors.New("the ring is closed")

// A Config says where the ring lies and how much it keeps.
type Config struct {
	// Dir is the store's directory; it is made if it is not there.
	Dir string
	// FS is the file system; nil is the real one.
	FS vfs.FS
	// Resolution is the distance of slots; see model.ValidateResolution.
	Resolution time.Duration
	// Retention is how much measuring time is kept, at least; a few blocks
	// more may be there.
	Retention time.Duration
	// Tune, if not nil, changes Pebble's options before the store is opened:
	// for benchmarks that compare them.
	Tune func(*pebble.Options)
	// Fatal is called when Pebble cannot go on. It must not return. Nil ends
	// the process with ExitStore.
	Fatal func(error)
}

// A Ring is the node's history. One goroutine appends, any number read.
type Ring struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics

	mu      sync.Mutex
	store   *store // nil: memory only
	err     error  // why memory only, or what the last write failed of
	stored  []BlockInfo
	waiting []*block // closed, not on disk
	open    *block   // nil: none
	nextSeq uint64
	missed  map[int64]string // slots after the open block, and why they have no samples
	retryIn int              // slots until the store is opened again
	closed  bool

	readers sync.WaitGroup // queries that use the store

	notedMu sync.Mutex
	noted   error // the last error that the store reported of its own accord
}

// Open opens the ring. If the store cannot be used, the ring works in memory,
// tries again about every minute, and says so in the log, in Status and in
// the metrics.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) *Ring {
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.Fatal == nil {
		cfg.Fatal = func(error) { os.Exit(ExitStore) }
	}
	r := &Ring{cfg: cfg, log: log, nextSeq: 1, missed: map[int64]string{}}
	r.metrics = newMetrics(reg, r)
	r.attach()
	return r
}

// note keeps an error that the store reports of its own accord, with one log
// line per change: Pebble repeats some of them thousands of times a second. It
// runs on Pebble's goroutines, which may hold Pebble's locks, so it takes a
// lock under which nobody calls Pebble.
func (r *Ring) note(err error) {
	r.metrics.errors.Inc()
	r.notedMu.Lock()
	defer r.notedMu.Unlock()
	if r.noted == nil || r.noted.Error() != err.Error() {
		r.log.Error("the ring's store reports an error", "dir", r.cfg.Dir, "err", err)
	}
	r.noted = err
}

func (r *Ring) fatal(err error) {
	r.log.Error("the ring's log cannot be written and Pebble cannot go on: ending the process", "dir", r.cfg.Dir, "exitCode", ExitStore, "err", err)
	r.cfg.Fatal(err)
}

// setErr notes what the store failed of, with one log line per change. The
// caller holds r.mu.
func (r *Ring) setErr(err error) {
	switch {
	case err == nil && r.err != nil:
		r.log.Info("the ring is written again", "dir", r.cfg.Dir)
	case err != nil && (r.err == nil || r.err.Error() != err.Error()):
		r.log.Error("the ring cannot be written", "dir", r.cfg.Dir, "err", err)
	}
	r.err = err
}

// Append adds one slot's samples. When it returns nil they are on disk. An
// error that wraps [ErrNotStored] says that they are in memory only; they are
// written with a later slot. Slots may come late, twice or from a clock that
// has jumped: of two samples for the same slot, the one appended later counts.
func (r *Ring) Append(slot int64, s *model.Scrape) error {
	began := time.Now()
	defer func() { r.metrics.append.Observe(time.Since(began).Seconds()) }()

	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return errClosed
	}
	if r.open != nil && !r.open.takes(slot, r.cfg.Resolution) {
		r.closeBlock()
	}
	if r.open == nil {
		r.open = newBlock(r.takeSeq(), model.BlockOf(slot), r.cfg.Resolution)
		for slot, why := range r.missed {
			r.open.miss(slot, why)
		}
		clear(r.missed)
	}
	refused := r.open.append(slot, s)
	reopen := false
	if r.store == nil {
		r.retryIn--
		reopen = r.retryIn <= 0
	}
	r.mu.Unlock()

	if len(refused) > 0 {
		r.metrics.refused.Add(float64(len(refused)))
		r.log.Warn("pods left out of the ring", "slot", slot, "pods", len(refused), "err", refused[0])
	}
	if reopen {
		r.attach()
	}
	return r.flush()
}

// Miss notes why a slot has no samples, for /debug/ring.
func (r *Ring) Miss(slot int64, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil && r.open.takes(slot, r.cfg.Resolution) {
		r.open.miss(slot, why)
		return
	}
	// The block that it belongs to begins with the next sample; of blocks
	// without any sample there is no record.
	if len(r.missed) >= model.BlockSeconds {
		clear(r.missed)
	}
	r.missed[slot] = why
}

// closeBlock makes the open block wait to be written. The caller holds r.mu.
func (r *Ring) closeBlock() {
	r.waiting = append(r.waiting, r.open)
	r.open = nil
	if n := len(r.waiting); n > maxWaiting {
		r.log.Error("a block is lost: too many wait for the store", "block", r.waiting[0].start, "waiting", n)
		r.metrics.lost.Inc()
		r.waiting = r.waiting[1:]
	}
}

// Err says why samples are not on disk, nil while they are.
func (r *Ring) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Empty tells whether there is no sample in memory: before the first one of a
// ring that had none.
func (r *Ring) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open == nil
}

// Latest returns the newest slot in memory, in Unix seconds, and its samples;
// ok is false if the agent has none, as at its first start.
func (r *Ring) Latest() (slot int64, scrape model.Scrape, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		return 0, model.Scrape{}, false
	}
	return r.open.latest()
}

// Close waits for queries that are under way, tries to write what is not on
// disk, and closes the store. It is not called while Append runs.
func (r *Ring) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	st := r.store
	r.mu.Unlock()
	r.readers.Wait()
	if st == nil {
		return nil
	}
	err := r.flush()
	r.mu.Lock()
	r.store = nil
	r.mu.Unlock()
	return errors.Join(err, st.close())
}

// Abandon closes the ring as a crash would: nothing more is written. The
// directory can then be opened again. It is not called while Append runs.
func (r *Ring) Abandon() error {
	r.mu.Lock()
	r.closed = true
	st := r.store
	r.store = nil
	r.mu.Unlock()
	r.readers.Wait()
	if st == nil {
		return nil
	}
	return st.close()
}
