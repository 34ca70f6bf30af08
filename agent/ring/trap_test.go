package ring_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/agent/ring"
)

// quiet opens a ring whose log nobody reads.
func quiet(cfg ring.Config) *ring.Ring {
	return ring.Open(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

// small makes Pebble flush and compact far more often than an agent's does.
func small(o *pebble.Options) {
	o.MemTableSize = 64 << 10
	o.CacheSize = 64 << 10
	o.L0CompactionThreshold = 2
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 32 << 10
	}
}

// A crash is a file system as a crash left it.
type crash struct {
	fs *vfs.MemFS
	// acked slots were acknowledged, begun slots were given to the ring: one
	// more, or several if the disk failed before.
	acked, begun int
	// partial: some of what was not synced is there, in any order.
	partial bool
	what    string
}

// A trap is a file system in memory that takes crashes of itself in the midst
// of what is done with it.
type trap struct {
	mem *vfs.MemFS
	fs  vfs.FS // what the ring is to use

	mu           sync.Mutex
	rng          *rand.Rand
	ops          int // changes so far
	acked, begun int
	when         func(op int) bool // whether the change is preceded by a crash; nil: never
	crashes      []crash           // those that were taken, until somebody fetches them
	failing      error             // what changes fail of; nil: they do not
	failAll      bool              // all of them, or every other
}

func newTrap(mem *vfs.MemFS, rng *rand.Rand) *trap {
	t := &trap{mem: mem, rng: rng}
	t.fs = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return t.changed(op)
		}
		return nil
	}))
	return t
}

// changed is called before each change; the change fails if it returns an error.
func (t *trap) changed(op errorfs.Op) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ops++
	if t.when != nil && t.when(t.ops) {
		t.crashes = append(t.crashes, t.crash(fmt.Sprintf("before change %d of the disk (%v %s)", t.ops, op.Kind, op.Path)))
	}
	if t.failing != nil && (t.failAll || t.rng.IntN(2) == 0) {
		return t.failing
	}
	return nil
}

// fail makes all changes fail, or every other, at random; nil ends it.
func (t *trap) fail(err error, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failing, t.failAll = err, all
}

// crash is one at this moment: of the process, after which all is there that
// was written, or of power, after which of what was not synced a random part
// is gone. The caller holds t.mu.
func (t *trap) crash(when string) crash {
	percent := pick(t.rng, []int{0, 20, 80, 100, 100})
	return crash{
		fs:    t.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: t.rng}),
		acked: t.acked, begun: t.begun, partial: percent > 0 && percent < 100,
		what: fmt.Sprintf("crash %s that keeps %d%% of what was not synced", when, percent),
	}
}

// crashNow crashes between two operations.
func (t *trap) crashNow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.crashes = append(t.crashes, t.crash("between operations"))
}

// caught hands over the crashes that were taken.
func (t *trap) caught() []crash {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.crashes
	t.crashes = nil
	return c
}

// crashAfter makes the trap crash, once, before the nth change from now.
func (t *trap) crashAfter(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.ops + n
	t.when = func(op int) bool { return op == at }
}

// start sets the counts: so many slots are there, so many were begun.
func (t *trap) start(acked, begun int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acked, t.begun = acked, begun
}

// append appends to the ring and keeps the count.
func (t *trap) append(r *ring.Ring, w write) error {
	t.mu.Lock()
	t.begun++
	t.mu.Unlock()
	if err := r.Append(w.slot, w.scrape); err != nil {
		return fmt.Errorf("append slot %d: %w", w.slot, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acked = t.begun
	return nil
}

// recovered opens what a crash left, and finds out how many of the writes are
// there: all that were acknowledged, perhaps some that were under way. h has
// all that were begun.
//
// n is −1 if the store was found damaged, and replaced by what could be read,
// which is all: when Pebble begins a new manifest, it syncs the directory only
// after it has moved the marker. A disk that keeps the second of these changes
// and not the first (ext4, xfs and btrfs do not) leaves a marker of a file that
// is not there. Of such a store deleted blocks may come back.
func recovered(c crash, cfg ring.Config, h *history) (r *ring.Ring, n int, err error) {
	r = quiet(cfg)
	s := r.Status()
	if s.State != ring.OnDisk || s.Error != "" {
		return r, 0, fmt.Errorf("%s: status %+v", c.what, s)
	}
	if c.partial && len(s.SetAside) == 1 && strings.Contains(s.SetAside[0].Why, "could not open manifest file") {
		if err := h.checkSalvaged(r, c.acked); err != nil {
			return r, 0, fmt.Errorf("%s: the store was replaced: %w", c.what, err)
		}
		return r, -1, nil
	}
	for n = min(c.begun, len(h.writes)); n >= c.acked; n-- {
		found := history{h.retention, h.writes[:n:n]}
		if err = found.checkAll(r); err == nil {
			return r, n, nil
		}
	}
	return r, 0, fmt.Errorf("%s: %d slots were acknowledged, %d begun: %w", c.what, c.acked, c.begun, err)
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
