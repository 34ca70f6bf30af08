package ring

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// maxWaiting is how many closed blocks wait in memory for the store: two
	// hours, about 2 MB on a full node.
	maxWaiting = 8
	// openWait, appendWait and closeWait are how long callers wait for the
	// disk: an append less than any resolution's share of a slot that counts, a
	// close less than the 30 s in which Kubernetes ends a pod.
	openWait   = 5 * time.Second
	appendWait = 2 * time.Second
	closeWait  = 10 * time.Second
	// reopenEvery is after how many slots a store that could not be opened is
	// tried again: a minute at 15 s.
	reopenEvery = 4
	// deleteBlocks is how many blocks are deleted at a time, an hour's: each
	// deletion is an entry of the manifest, synced.
	deleteBlocks = 4
)

const (
	// DefaultMaxDisk is five times what a full node takes in a day.
	DefaultMaxDisk = 128 << 20
	// MinMaxDisk is the smallest MaxDisk that makes sense: 4.5 MiB of blocks, as
	// much again for compactions, and the store's overhead.
	MinMaxDisk = 16 << 20
)

// ErrNotStored is wrapped by the errors of [Ring.Append] that say that the
// sample is in memory but not on disk.
var ErrNotStored = errors.New("kept in memory, not on disk")

var (
	errClosed    = errors.New("the ring is closed")
	errOpening   = errors.New("the store is being opened")
	errLate      = fmt.Errorf("the disk took more than %v", appendWait)
	errAbandoned = errors.New("the ring is abandoned")
)

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
	// MaxDisk is how much the directory may take, in bytes; 0 is
	// DefaultMaxDisk. It is kept by dropping the oldest blocks.
	MaxDisk int64
	// Tune, if not nil, changes Pebble's options before the store is opened:
	// for benchmarks that compare them.
	Tune func(*pebble.Options)
}

// A Ring is the node's history. One goroutine appends, any number read; its own
// goroutine, the writer, has the store.
type Ring struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	dir     directory // the writer's

	mu       sync.Mutex
	store    *store // nil: memory only
	err      error  // why samples are not written to disk
	errSince time.Time
	stored   []BlockInfo
	waiting  []*block // closed, not on disk
	open     *block   // nil: none
	nextSeq  uint64
	// latest is what was appended last since the ring was opened, before what was
	// appended before it; aggregators ask for a slot until the next one is due, and
	// this node may have that already.
	latest, before appended
	seqKnown       bool             // nextSeq follows what the store holds
	missed         map[int64]string // slots after the open block, and why they have no samples
	askers         []chan<- error   // appends that wait for the disk
	busy           time.Time        // since when the writer is at work; zero: it is not
	late           bool             // that it takes long was logged
	closed         bool
	abandon        bool

	sinceAttach int // slots since the store was opened, or tried to be
	retryIn     int // slots until it is tried again
	ioFailures  int // the writer's: openings in a row that failed with EIO
	disk, free  int64
	aside       []SetAside

	wake    chan struct{} // there is something to do for the writer
	stop    chan struct{}
	stopped chan struct{} // the writer has ended
	ready   chan struct{} // the store was opened, or could not be
	endErr  error         // of the writer's end
}

// appended is a scrape as it was appended; without groups there is none.
type appended struct {
	slot int64 // Unix seconds
	// late tells that it came only after aggregators began to ask for its slot.
	late   bool
	scrape model.Scrape
}

// Open opens the ring. If the store cannot be used, the ring works in memory,
// tries again about every minute, and says so in the log, in Status and in
// the metrics. It returns after 5 s at most, also if the disk hangs.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) *Ring {
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.MaxDisk == 0 {
		cfg.MaxDisk = DefaultMaxDisk
	}
	r := &Ring{
		cfg: cfg, log: log, dir: directory{fs: cfg.FS, path: cfg.Dir},
		nextSeq: 1, missed: map[int64]string{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}), ready: make(chan struct{}),
	}
	r.metrics = newMetrics(reg, r)
	go r.write()
	timer := time.NewTimer(openWait)
	defer timer.Stop()
	select {
	case <-r.ready:
	case <-timer.C:
		r.noteLate()
	}
	return r
}

// setErr notes why samples are not written, with one log line per change. The
// caller holds r.mu.
func (r *Ring) setErr(err error) {
	switch {
	case err == nil && r.err != nil:
		r.log.Info("the ring is written again", "dir", r.cfg.Dir)
	case err != nil && (r.err == nil || r.err.Error() != err.Error()):
		r.log.Error("samples are kept in memory only", "dir", r.cfg.Dir, "err", err)
	}
	if (err == nil) != (r.err == nil) {
		r.errSince = time.Now()
	}
	r.err = err
}

// Append adds one slot's samples. When it returns nil they are on disk. An
// error that wraps [ErrNotStored] says that they are in memory only; they are
// written with a later slot. The ring keeps s: it must not be changed any more.
// It returns after 2 s at most, also if the disk hangs. Slots, in Unix seconds
// and multiples of the resolution, may come late, twice or from a clock that has
// jumped: of two samples for the same slot, the one appended later counts.
func (r *Ring) Append(slot int64, s *model.Scrape) error {
	if slot%int64(r.cfg.Resolution/time.Second) != 0 {
		return fmt.Errorf("slot %d is not a multiple of %v", slot, r.cfg.Resolution)
	}
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
	r.before, r.latest = r.latest, appended{slot, slot <= model.Sampled(began, r.cfg.Resolution), *s}
	r.sinceAttach++
	r.retryIn--
	done := make(chan error, 1)
	r.askers = append(r.askers, done)
	r.mu.Unlock()

	if len(refused) > 0 {
		r.metrics.refused.Add(float64(len(refused)))
		r.log.Warn("pods left out of the ring", "slot", slot, "pods", len(refused), "err", refused[0])
	}
	r.poke()
	timer := time.NewTimer(appendWait)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		r.noteLate()
		return fmt.Errorf("%w: %w", ErrNotStored, cmp.Or(r.Err(), errLate))
	}
}

// poke makes the writer look for something to do.
func (r *Ring) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
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
	return r.state()
}

// state is Err. The caller holds r.mu.
func (r *Ring) state() error {
	if d := r.busyFor(); d >= appendWait {
		return fmt.Errorf("the disk of %s has not answered for %v: see what keeps it busy, or whether it is broken", r.cfg.Dir, d.Truncate(time.Second))
	}
	return r.err
}

// busyFor is how long the writer has been at work. The caller holds r.mu.
func (r *Ring) busyFor() time.Duration {
	if r.busy.IsZero() {
		return 0
	}
	return time.Since(r.busy)
}

// noteLate logs, once each time, that the disk takes long.
func (r *Ring) noteLate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.state(); err != nil && !r.late && r.busyFor() >= appendWait {
		r.late = true
		r.metrics.errors.Inc()
		r.log.Error("samples are kept in memory only", "dir", r.cfg.Dir, "err", err)
	}
}

// Empty tells whether there is no sample in memory: before the first one of a
// ring that had none.
func (r *Ring) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open == nil
}

// Close writes what is not on disk and closes the store, once queries that are
// under way have ended. It returns after 10 s at most, also if the disk hangs.
func (r *Ring) Close() error { return r.end(false) }

// Abandon closes the ring as a crash would: nothing more is written. The
// directory can then be opened again.
func (r *Ring) Abandon() error { return r.end(true) }

func (r *Ring) end(abandon bool) error {
	r.mu.Lock()
	if !r.closed {
		r.closed, r.abandon = true, abandon
		if abandon && r.store != nil {
			r.store.abandon()
		}
		close(r.stop)
	}
	r.mu.Unlock()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-r.stopped:
		return r.endErr
	case <-timer.C:
		return fmt.Errorf("close the ring in %s: the disk has not answered for %v", r.cfg.Dir, closeWait)
	}
}
