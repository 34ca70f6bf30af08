package ring_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rollcall-metrics/rollcall/agent/ring"
)

// TestCrashesAnywhere crashes rings at every change that they make to their
// disks: while they append, close blocks, delete old ones, flush and compact,
// are closed and opened again. Of each crash the disk is opened: it has all
// slots that were acknowledged, and goes on.
//
// That is what a power loss may cost at most. Each record is synced before it
// is acknowledged, so nothing that was acknowledged is lost: at most the slot
// in flight, and of that one all or nothing is there. A kill -9 costs no more.
func TestCrashesAnywhere(t *testing.T) {
	const enough = 2000
	// Two at a time check what a third makes; more wait in memory.
	checks := make(chan func() error, 256)
	failures := make(chan error, 1)
	var checkers sync.WaitGroup
	for range 2 {
		checkers.Go(func() {
			for check := range checks {
				if err := check(); err != nil {
					select {
					case failures <- err:
					default:
					}
				}
			}
		})
	}
	n := 0
	for seed := uint64(1); n < enough && len(failures) == 0; seed++ {
		caught, err := crashing(seed, checks)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
			break
		}
		n += caught
	}
	close(checks)
	checkers.Wait()
	select {
	case err := <-failures:
		t.Fatal(err)
	default:
	}
	t.Logf("%d crashes", n)
}

// crashing is the life of a ring that crashes at every change; checks gets
// what is to be checked of each crash.
func crashing(seed uint64, checks chan<- func() error) (crashes int, err error) {
	rng := rand.New(rand.NewPCG(seed, 3))
	h := &history{retention: seconds(1800)}
	load := newWorkload(rng, 2+rng.IntN(8))
	trap := newTrap(vfs.NewCrashableMem(), rand.New(rand.NewPCG(seed, 4)))
	trap.when = func(int) bool { return true }
	// Three slots a block: there are changes of all kinds within 100 slots.
	cfg := ring.Config{Dir: "node/ring", FS: trap.fs, Resolution: seconds(300), Retention: h.retention, Tune: small}
	r := quiet(cfg)
	defer func() { _ = r.Close() }()

	forward := func() {
		for _, c := range trap.caught() {
			crashes++
			// The checker's part of the history does not change any more.
			known := &history{h.retention, h.writes[:c.begun:c.begun]}
			after := rng.Uint64()
			checks <- func() error {
				if err := survives(c, cfg, known, after); err != nil {
					return fmt.Errorf("seed %d: %w", seed, err)
				}
				return nil
			}
		}
	}
	slot := int64(base)
	for range 60 {
		w := write{slot, 300, load.next(slot)}
		h.writes = append(h.writes, w)
		if err := trap.append(r, w); err != nil {
			return crashes, err
		}
		forward()
		slot += 300 * (1 + rng.Int64N(2)*rng.Int64N(3)) // with gaps
		if rng.IntN(15) > 0 {
			continue
		}
		if err := r.Close(); err != nil {
			return crashes, err
		}
		forward()
		r = quiet(cfg)
		forward()
	}
	return crashes, nil
}

// survives opens what a crash left, checks it, and goes on with it.
func survives(c crash, cfg ring.Config, h *history, seed uint64) error {
	cfg.FS = c.fs
	r, n, err := recovered(c, cfg, h)
	defer func() { _ = r.Close() }()
	if err != nil {
		return err
	}
	if n < 0 || seed%8 > 0 {
		return r.Close()
	}
	// It goes on: over the end of a block, sometimes a restart.
	found := &history{h.retention, append([]write(nil), h.writes[:n]...)}
	load := newWorkload(rand.New(rand.NewPCG(seed, 5)), 3)
	slot := int64(base)
	if n > 0 {
		slot = found.writes[n-1].slot + 300
	}
	for range 4 {
		w := write{slot, 300, load.next(slot)}
		if err := r.Append(w.slot, w.scrape); err != nil {
			return fmt.Errorf("%s: append afterwards: %w", c.what, err)
		}
		found.writes = append(found.writes, w)
		slot += 300
	}
	if seed%16 == 0 {
		if err := r.Close(); err != nil {
			return fmt.Errorf("%s: close afterwards: %w", c.what, err)
		}
		r = quiet(cfg)
	}
	if err := found.checkAll(r); err != nil {
		return fmt.Errorf("%s: afterwards: %w", c.what, err)
	}
	return r.Close()
}
