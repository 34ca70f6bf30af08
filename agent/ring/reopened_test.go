package ring_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rollcall-metrics/rollcall/agent/ring"
)

// A disk that fails for some slots costs nothing: when it is well again each
// slot is on disk, once. (A block that is stored twice counts twice towards the
// retention, and pushes out history.)
func TestFailuresStoreNothingTwice(t *testing.T) {
	for name, all := range map[string]bool{"all changes fail": true, "every other": false} {
		for failed := 1; failed <= 10; failed++ {
			t.Run(fmt.Sprintf("%s, %d slots", name, failed), func(t *testing.T) {
				trap := newTrap(vfs.NewCrashableMem(), rand.New(rand.NewPCG(uint64(failed), 8)))
				r := run{
					history: history{retention: seconds(3600)}, trap: trap, clock: base,
					rng:  rand.New(rand.NewPCG(uint64(failed), 9)),
					load: newWorkload(rand.New(rand.NewPCG(uint64(failed), 10)), 3),
					cfg:  ring.Config{Dir: "ring", FS: trap.fs, Resolution: seconds(60), Retention: seconds(3600)},
				}
				r.ring = quiet(r.cfg)
				defer func() { _ = r.ring.Close() }()
				for range 3 {
					if err := r.append(); err != nil {
						t.Fatal(err)
					}
				}
				trap.fail(syscall.EIO, all)
				for range failed {
					_ = r.append() // whether it fails is not the matter here
				}
				trap.fail(nil, false)
				if err := r.heal(); err != nil {
					t.Fatal(err)
				}
				if s := r.ring.Status(); held(&s) != len(r.writes) {
					t.Fatalf("%d slots were appended, %d are stored: %+v", len(r.writes), held(&s), infos(&s))
				}
			})
		}
	}
}
