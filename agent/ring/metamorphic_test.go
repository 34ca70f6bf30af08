package ring_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// TestMetamorphic does random things to a ring, in random order, and compares
// what it answers with a plain list of what it was given. A failure names the
// seed; with ROLLCALL_SEED=seed the same operations are done again (only
// Pebble's background work goes its own ways). With ROLLCALL_SOAK=1h it goes
// on with new seeds for that long: make soak.
func TestMetamorphic(t *testing.T) {
	if s := os.Getenv("ROLLCALL_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		newRun(seed).do(t)
		return
	}
	var total counts
	for seed := range uint64(metamorphicSeeds) {
		total.add(newRun(seed).do(t))
	}
	began, reported := time.Now(), time.Now()
	for soak := soakTime(t); time.Since(began) < soak; {
		total.add(newRun(rand.Uint64()).do(t))
		if time.Since(reported) >= time.Minute {
			reported = time.Now()
			t.Logf("%v: %v", time.Since(began).Truncate(time.Second), total)
		}
	}
	t.Logf("all: %v", total)
}

const (
	// metamorphicSeeds and metamorphicOps are 20 s of work under the race
	// detector.
	metamorphicSeeds = 6
	metamorphicOps   = 200
)

// soakTime is how long tests should go on; 0 in a normal run.
func soakTime(t *testing.T) time.Duration {
	s := os.Getenv("ROLLCALL_SOAK")
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

type counts struct{ runs, ops, slots, restarts, crashes, faults, reads int }

func (c *counts) add(o counts) {
	c.runs += o.runs
	c.ops += o.ops
	c.slots += o.slots
	c.restarts += o.restarts
	c.crashes += o.crashes
	c.faults += o.faults
	c.reads += o.reads
}

func (c counts) String() string {
	return fmt.Sprintf("%d runs, %d operations, %d slots, %d restarts, %d crashes, %d disk failures, %d reads",
		c.runs, c.ops, c.slots, c.restarts, c.crashes, c.faults, c.reads)
}

// A run is one ring over restarts and crashes.
type run struct {
	history
	counts
	seed  uint64
	rng   *rand.Rand
	load  *workload
	cfg   ring.Config
	trap  *trap
	ring  *ring.Ring
	clock int64 // the wall clock, in Unix seconds
	log   []string
}

func newRun(seed uint64) *run {
	rng := rand.New(rand.NewPCG(seed, 1))
	r := &run{
		seed: seed, rng: rng, clock: base + rng.Int64N(5000),
		history: history{retention: seconds(1800 + 900*rng.Int64N(8))},
		load:    newWorkload(rng, 1+rng.IntN(8)),
		trap:    newTrap(vfs.NewCrashableMem(), rand.New(rand.NewPCG(seed, 2))),
	}
	r.cfg = ring.Config{Dir: "node/ring", FS: r.trap.fs, Resolution: r.anyResolution(), Retention: r.retention}
	if rng.IntN(20) > 0 { // the others cost five times as much
		r.cfg.Tune = small
	}
	return r
}

func (r *run) anyResolution() time.Duration {
	return seconds(pick(r.rng, []int64{15, 60, 60, 180, 300, 300, 900}))
}

// do does the operations and returns what there was of them.
func (r *run) do(t *testing.T) counts {
	t.Helper()
	t.Logf("seed %d: %v kept", r.seed, r.retention)
	r.ring = quiet(r.cfg)
	defer func() { _ = r.ring.Close() }()
	for range metamorphicOps {
		err := r.step()
		if err == nil {
			err = r.recover()
		}
		if err != nil {
			t.Fatalf("seed %d: %v\nthe last operations:\n\t%s\nROLLCALL_SEED=%d go test -race -run TestMetamorphic ./agent/ring does this again",
				r.seed, err, strings.Join(r.log[max(0, len(r.log)-40):], "\n\t"), r.seed)
		}
		r.ops++
	}
	r.runs++
	return r.counts
}

func (r *run) note(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf("%d: ", r.ops)+fmt.Sprintf(format, args...))
}

// step does one operation.
func (r *run) step() error {
	switch n := r.rng.IntN(100); {
	case n < 40:
		return r.appendSome()
	case n < 45:
		return r.miss()
	case n < 50:
		by := pick(r.rng, []int64{1, 15, 3600, 86400, 365 * 86400}) * pick(r.rng, []int64{-1, 1})
		r.note("the clock jumps by %d s", by)
		r.clock += by
	case n < 54:
		return r.restart(r.cfg.Resolution)
	case n < 56:
		return r.restart(r.anyResolution())
	case n < 63:
		r.armTrap()
	case n < 66:
		r.trap.crashNow()
	case n < 69:
		return r.failForAWhile()
	default:
		r.reads++
		return r.read()
	}
	return nil
}

func (r *run) appendSome() error {
	n := 1 + r.rng.IntN(10)
	r.note("append %d slots from %d on, at %v", n, model.SlotOf(time.Unix(r.clock, 0), r.cfg.Resolution), r.cfg.Resolution)
	for range n {
		if err := r.append(); err != nil {
			return err
		}
	}
	return nil
}

// append appends what is measured now, and lets a slot pass, sometimes more.
func (r *run) append() error {
	res := int64(r.cfg.Resolution / time.Second)
	slot := model.SlotOf(time.Unix(r.clock, 0), r.cfg.Resolution)
	w := write{slot, res, r.load.next(slot)}
	r.writes = append(r.writes, w)
	r.slots++
	r.clock += res
	if r.rng.IntN(10) == 0 {
		r.clock += r.rng.Int64N(5) * res
	}
	return r.trap.append(r.ring, w)
}

func (r *run) miss() error {
	n := 1 + r.rng.IntN(5)
	r.note("miss %d slots", n)
	for range n {
		r.ring.Miss(model.SlotOf(time.Unix(r.clock, 0), r.cfg.Resolution), "no answer")
		r.clock += int64(r.cfg.Resolution / time.Second)
	}
	return nil
}

// armTrap lets one of the next changes on disk crash, whatever it belongs to.
func (r *run) armTrap() {
	n := 1 + r.rng.IntN(30)
	r.note("crash at change %d from now", n)
	r.trap.crashAfter(n)
}

func (r *run) restart(resolution time.Duration) error {
	r.note("restart at %v", resolution)
	r.restarts++
	if err := r.ring.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	r.cfg.Resolution = resolution
	r.ring = quiet(r.cfg)
	return r.checkAll(r.ring)
}

// begin begins with an empty disk.
func (r *run) begin() error {
	r.note("begin with an empty disk")
	if err := r.ring.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	r.trap = newTrap(vfs.NewCrashableMem(), r.trap.rng)
	r.cfg.FS = r.trap.fs
	r.writes = nil
	r.ring = quiet(r.cfg)
	return nil
}

// recover goes on from a crash if one has come, perhaps while the ring was
// opened after another.
func (r *run) recover() error {
	caught := r.trap.caught()
	for len(caught) > 0 {
		c := caught[0]
		r.note("%s", c.what)
		r.crashes++
		// A ring that was closed while the disk failed says so again.
		if err := r.ring.Abandon(); err != nil && !errors.Is(err, ring.ErrNotStored) {
			return fmt.Errorf("abandon: %w", err)
		}
		r.trap = newTrap(c.fs, r.trap.rng)
		r.trap.start(c.acked, c.begun)
		if r.rng.IntN(3) == 0 {
			r.armTrap()
		}
		r.cfg.FS = r.trap.fs
		opened, n, err := recovered(c, r.cfg, &r.history)
		r.ring = opened
		if err != nil {
			return err
		}
		if n < 0 { // that was the end of this one
			return r.begin()
		}
		if caught = r.trap.caught(); len(caught) == 0 {
			r.writes = r.writes[:n]
			r.trap.start(n, n)
		}
	}
	return nil
}

// failForAWhile lets the disk fail for some slots, which stay in memory: they
// are written when it is well again, unless there is a crash before.
func (r *run) failForAWhile() error {
	if r.cfg.Resolution > seconds(300) {
		return nil // so few blocks can wait in memory that some would be lost
	}
	why := pick(r.rng, []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT})
	all := r.rng.IntN(2) == 0
	n := 1 + r.rng.IntN(6)
	r.note("%d slots while changes fail (all: %v): %v", n, all, why)
	r.faults++
	r.trap.fail(why, all)
	for range n {
		if err := r.append(); err != nil && !errors.Is(err, ring.ErrNotStored) {
			return err
		}
		if slot, _, ok := r.ring.Latest(); !ok || slot != r.writes[len(r.writes)-1].slot {
			return fmt.Errorf("while the disk fails, the latest slot is %d (%v)", slot, ok)
		}
	}
	switch r.rng.IntN(6) {
	case 0: // what is in memory is lost
		r.trap.crashNow()
		return nil
	case 1: // and here perhaps written, if only some changes fail
		r.note("close: %v", r.ring.Close())
		r.trap.crashNow()
		return nil
	}
	r.trap.fail(nil, false)
	return r.heal()
}

// heal appends until slots are stored again: it is tried every four slots.
func (r *run) heal() error {
	r.note("append until slots are stored again")
	var err error
	for range 9 {
		if err = r.append(); err == nil {
			return r.checkAll(r.ring)
		}
	}
	return fmt.Errorf("still not stored after 9 slots of a disk that works: %w", err)
}

// read asks the ring something.
func (r *run) read() error {
	switch r.rng.IntN(10) {
	case 0:
		namespace := pick(r.rng, append([]string{"none"}, namespaces...))
		r.note("which pods does it know in %s", namespace)
		return r.checkKnows(r.ring, namespace)
	case 1, 2:
		r.note("status and latest")
		if len(r.writes) == 0 {
			return nil
		}
		if err := r.checkLatest(r.ring); err != nil {
			return err
		}
		return r.checkStatus(r.ring)
	}
	q := r.query()
	r.note("query %+v", q)
	return r.check(r.ring, q)
}

func (r *run) query() model.Query {
	q := everything(r.rng.IntN(4) > 0)
	if n := len(r.writes); n > 0 && r.rng.IntN(5) > 0 {
		q.From = r.writes[n-1-r.rng.IntN(min(n, 200))].slot + r.rng.Int64N(3) - 1
		q.To = q.From + r.rng.Int64N(pick(r.rng, []int64{1, 900, 7200, 1e6, 1e8}))
	}
	if q.Pods && r.rng.IntN(2) == 0 {
		q.Namespace = pick(r.rng, namespaces)
		if r.rng.IntN(2) == 0 {
			q.Pod = pick(r.rng, podNames)
		}
	}
	return q
}
