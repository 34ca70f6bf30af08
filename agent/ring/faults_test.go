package ring

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// small makes Pebble flush and compact every few blocks.
func small(o *pebble.Options) {
	o.MemTableSize = 16 << 10
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 8 << 10
	}
}

// A faultyDisk fails writes to some files with an error, and counts them.
type faultyDisk struct {
	vfs.FS
	mem    vfs.FS
	toggle errorfs.Toggle
	failed atomic.Int64
	free   atomic.Uint64 // what GetDiskUsage says
}

func newFaultyDisk(mem vfs.FS, err error, match func(name string) bool) *faultyDisk {
	d := &faultyDisk{mem: mem}
	d.free.Store(1 << 40)
	d.toggle.Injector = errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !match(path.Base(op.Path)) {
			return nil
		}
		d.failed.Add(1)
		return err
	})
	d.FS = errorfs.Wrap(mem, &d.toggle)
	return d
}

func (d *faultyDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load()}, nil
}

func (d *faultyDisk) Unwrap() vfs.FS { return nil }

// logged opens a ring whose log lines are counted.
func logged(t *testing.T, cfg Config) (*Ring, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var buf bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return buf.Write(p)
	})
	r := Open(cfg, slog.New(slog.NewTextHandler(w, nil)), prometheus.NewRegistry())
	t.Cleanup(func() { _ = r.Close() })
	return r, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Split(strings.TrimSpace(buf.String()), "\n")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Writes that fail, whatever the error and whatever the file, cost no sample
// and no process, are told once, and are over when the disk is well again.
func TestWritesFail(t *testing.T) {
	kinds := map[string]func(string) bool{
		"all":      func(string) bool { return true },
		"logs":     func(n string) bool { return strings.HasSuffix(n, ".log") },
		"tables":   func(n string) bool { return strings.HasSuffix(n, ".sst") },
		"manifest": func(n string) bool { return strings.HasPrefix(n, "MANIFEST") || strings.HasPrefix(n, "marker") },
	}
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EDQUOT, os.ErrPermission} {
		for kind, match := range kinds {
			t.Run(fmt.Sprintf("%v %s", cause, kind), func(t *testing.T) {
				disk := newFaultyDisk(vfs.NewMem(), cause, match)
				cfg := config(disk)
				cfg.Tune = small
				r, lines := logged(t, cfg)
				all := slots(t0, 130)
				mustAppend(t, r, all...)
				before := len(lines())
				disk.toggle.On()
				for range 300 {
					slot := all[len(all)-1] + 15
					if err := r.Append(slot, at(slot, 3)); err != nil && !errors.Is(err, ErrNotStored) {
						t.Fatal(err)
					}
					all = append(all, slot)
				}
				checkHolds(t, r, all...)
				// No spinning: not more than a few attempts a slot, and not a
				// line for each.
				if n := disk.failed.Load(); n == 0 || n > 300*5 {
					t.Errorf("%d writes failed in 300 slots", n)
				}
				if n := len(lines()) - before; n == 0 || n > 60 {
					t.Errorf("%d log lines in 300 slots; the last: %s", n, lines()[len(lines())-1])
				}
				disk.toggle.Off()
				all = appendUntilStored(t, r, all)
				checkHolds(t, r, all...)
				if s := r.Status(); s.State != OnDisk || s.Unstored != 0 || len(s.SetAside) > 0 {
					t.Errorf("status %+v", s)
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				checkHolds(t, open(t, cfg), all...)
			})
		}
	}
}

// A store whose log is to be replayed is read on a full disk, and written
// when there is space.
func TestStartOnAFullDisk(t *testing.T) {
	disk := newFaultyDisk(vfs.NewMem(), syscall.ENOSPC, func(string) bool { return true })
	cfg := config(disk)
	r := open(t, cfg)
	all := slots(t0, 100)
	mustAppend(t, r, all...)
	if err := r.Abandon(); err != nil {
		t.Fatal(err)
	}
	disk.toggle.On()
	r = open(t, cfg)
	if s := r.Status(); s.State != ReadOnly || !strings.Contains(s.Error, "no space left") {
		t.Fatalf("status %+v", s)
	}
	checkHolds(t, r, all...)
	disk.toggle.Off()
	checkHolds(t, r, appendUntilStored(t, r, all)...)
}

// With little space left nothing is written, and history is answered.
func TestNearlyFullDisk(t *testing.T) {
	disk := newFaultyDisk(vfs.NewMem(), nil, func(string) bool { return true })
	r, lines := logged(t, config(disk))
	all := slots(t0, 200)
	mustAppend(t, r, all[:100]...)
	disk.toggle.On() // counts writes
	disk.free.Store(minFree - 1)
	for _, slot := range all[100:] {
		if err := r.Append(slot, at(slot, 3)); !errors.Is(err, errNoRoom) {
			t.Fatal(err)
		}
	}
	checkHolds(t, r, all...)
	if n := disk.failed.Load(); n > 0 {
		t.Errorf("%d writes", n)
	}
	if n := len(lines()); n != 2 { // opened; no room
		t.Errorf("%d log lines: %s", n, strings.Join(lines(), "\n"))
	}
	if s := r.Status(); s.State != ReadOnly || s.FreeBytes != minFree-1 || s.Unstored != 100 {
		t.Errorf("status %+v", s)
	}
	disk.free.Store(1 << 30)
	mustAppend(t, r, all[199]+15)
	checkHolds(t, r, append(all, all[199]+15)...)
}

// The limit of the directory holds at every moment; the newest blocks stay.
func TestMaxDisk(t *testing.T) {
	mem := vfs.NewMem()
	cfg := config(mem)
	cfg.MaxDisk = MinMaxDisk
	r := open(t, cfg)
	var peak int64
	for i := range int64(60 * 100) { // 25 h; a block is 300 kB
		slot := t0 + i*15
		if err := r.Append(slot, noisy(slot, 40)); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			peak = max(peak, sizeOf(t, mem, "data"))
		}
	}
	s := r.Status()
	t.Logf("at most %d kB, %d blocks, %d kB at the end", peak>>10, len(s.Blocks), s.DiskBytes>>10)
	if peak > MinMaxDisk {
		t.Errorf("%d bytes at the most, limit %d", peak, cfg.MaxDisk)
	}
	if len(s.Blocks) < 8 || s.Newest != t0+(60*100-1)*15 {
		t.Errorf("only %d blocks are left, newest %d", len(s.Blocks), s.Newest)
	}
	if got := read(t, r, model.Query{From: s.Oldest, To: s.Newest}); int64(len(got)) != (s.Newest-s.Oldest)/15+1 {
		t.Errorf("%d slots from %d to %d", len(got), s.Oldest, s.Newest)
	}
}

func sizeOf(t *testing.T, fs vfs.FS, dir string) int64 {
	t.Helper()
	info, err := fs.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0 // deleted meanwhile
	}
	if err != nil {
		t.Fatal(err)
	}
	if !info.IsDir() {
		return info.Size()
	}
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, name := range names {
		sum += sizeOf(t, fs, fs.PathJoin(dir, name))
	}
	return sum
}

// A disk that takes forever for a sync costs no slot: they are held in memory,
// bounded, and written when it answers.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var slow atomic.Bool
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if slow.Load() && strings.HasSuffix(op.Path, ".log") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				<-gate
			}
			return nil
		}))
		r, lines := logged(t, config(fs))
		all := slots(t0, 1000)
		mustAppend(t, r, all[:100]...)
		slow.Store(true)
		for i, slot := range all[100:] { // 3.75 h
			began := time.Now()
			if err := r.Append(slot, at(slot, 3)); !errors.Is(err, ErrNotStored) || !strings.Contains(err.Error(), "has not answered for") {
				t.Fatalf("slot %d: %v", i, err)
			}
			if d := time.Since(began); d > appendWait {
				t.Fatalf("an append took %v", d)
			}
			time.Sleep(15*time.Second - time.Since(began))
		}
		s := r.Status()
		if s.State != ReadOnly || len(s.Waiting) > maxWaiting || s.Newest != all[999] {
			t.Fatalf("status %+v", s)
		}
		if got := read(t, r, model.Query{From: all[1000-maxWaiting*60], To: all[999]}); len(got) != maxWaiting*60 {
			t.Fatalf("%d slots in memory", len(got))
		}
		if n := len(lines()); n > 15 { // opened, slow, and one for each block lost
			t.Errorf("%d log lines:\n%s", n, strings.Join(lines(), "\n"))
		}
		slow.Store(false)
		close(gate)
		mustAppend(t, r, all[999]+15)
		if s := r.Status(); s.State != OnDisk || s.Unstored != 0 {
			t.Fatalf("status %+v", s)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Also looking at the stores that were set aside keeps nobody else waiting.
func TestHangsWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var hangs atomic.Bool
		mem := vfs.NewMem()
		if err := mem.MkdirAll("data/ring.damaged-2026-11-21T120435Z-unreadable", 0o700); err != nil {
			t.Fatal(err)
		}
		r := open(t, config(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if hangs.Load() && op.Kind == errorfs.OpList {
				<-gate
			}
			return nil
		}))))
		hangs.Store(true)
		late := 0
		for _, slot := range slots(t0, 2*diskEvery) {
			if err := r.Append(slot, at(slot, 3)); err != nil {
				late++
			}
		}
		if s := r.Status(); late == 0 || s.State != ReadOnly || len(s.SetAside) != 1 {
			t.Errorf("%d appends were late, status %+v", late, s)
		}
		hangs.Store(false)
		close(gate)
		mustAppend(t, r, t0+2*diskEvery*15)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A disk that never answers does not keep the process from starting or ending.
func TestDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(errorfs.Op) error {
			<-gate
			return nil
		}))
		r := Open(config(fs), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err := r.Append(t0, at(t0, 3)); !errors.Is(err, ErrNotStored) {
			t.Fatal(err)
		}
		if s := r.Status(); s.State != InMemory || s.Newest != t0 || !strings.Contains(s.Error, "has not answered") {
			t.Fatalf("status %+v", s)
		}
		if err := r.Close(); err == nil || !strings.Contains(err.Error(), "has not answered") {
			t.Fatal(err)
		}
		close(gate)
		<-r.stopped
	})
}

// A directory that another process uses is left alone until that one ends.
func TestDirectoryIsFreed(t *testing.T) {
	cfg := config(nil)
	cfg.Dir = t.TempDir()
	first := open(t, cfg)
	all := slots(t0, 80)
	mustAppend(t, first, all[:70]...)
	second := open(t, cfg)
	for _, slot := range all[70:] {
		if err := second.Append(slot, at(slot, 3)); !errors.Is(err, errInUse) {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	checkHolds(t, second, appendUntilStored(t, second, all)...)
	if s := second.Status(); len(s.SetAside) > 0 {
		t.Fatalf("set aside: %+v", s.SetAside)
	}
}

// A store of a newer program is not touched, whichever part of it is newer.
func TestNewerStoreIsNotTouched(t *testing.T) {
	mem := vfs.NewMem()
	r := open(t, config(mem))
	mustAppend(t, r, slots(t0, 70)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for name := range files(t, mem, "data/ring") {
		if strings.HasPrefix(name, "marker.format-version") {
			if err := mem.Rename("data/ring/"+name, "data/ring/marker.format-version.000099.999"); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := files(t, mem, "data/ring")
	r = open(t, config(mem))
	for _, slot := range slots(t0+9000, 3*reopenEvery) {
		if err := r.Append(slot, at(slot, 3)); !errors.Is(err, errSchema) {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if after := files(t, mem, "data/ring"); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Fatalf("files before %v, after %v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
	if s := r.Status(); len(s.SetAside) > 0 || s.State != InMemory {
		t.Fatalf("status %+v", s)
	}
}

// What made Pebble end the process is set aside by the next one.
func TestAfterAFatalError(t *testing.T) {
	mem := vfs.NewMem()
	r := open(t, config(mem))
	all := slots(t0, 130)
	mustAppend(t, r, all...)
	if err := r.dir.write(fatalName, "Pebble ended the process: no idea"); err != nil {
		t.Fatal(err)
	}
	if err := r.Abandon(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r = open(t, config(mem))
		checkHolds(t, r, all...)
		if s := r.Status(); s.State != OnDisk || len(s.SetAside) != 1 || s.SetAside[0].Why != "Pebble ended the process: no idea" {
			t.Fatalf("status %+v", s)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// When somebody deletes the directory a new one is made, and what is in memory
// goes there.
func TestDirectoryIsDeleted(t *testing.T) {
	cfg := config(nil)
	cfg.Dir = filepath.Join(t.TempDir(), "data")
	r := open(t, cfg)
	all := slots(t0, 90)
	mustAppend(t, r, all[:80]...)
	if err := os.RemoveAll(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if err := r.Append(all[80], at(all[80], 3)); !errors.Is(err, errGone) {
		t.Fatal(err)
	}
	mustAppend(t, r, all[81:]...)
	checkHolds(t, r, all[60:]...) // the open block
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	checkHolds(t, open(t, cfg), all[60:]...)
}

// Damage after damage: two of the stores are kept, the newest.
func TestKeepsTwoDamagedStores(t *testing.T) {
	mem := vfs.NewMem()
	cfg := config(mem)
	for i := range 5 {
		r := open(t, cfg)
		mustAppend(t, r, t0+int64(i)*15)
		if s := r.Status(); len(s.SetAside) != min(i, maxAside) {
			t.Fatalf("after %d damages %d are kept", i, len(s.SetAside))
		}
		if i == 4 {
			checkHolds(t, r, slots(t0, 5)...)
			r.cfg.MaxDisk = overhead // no room for them
			mustAppend(t, r, t0+75)
			if s := r.Status(); len(s.SetAside) != 0 {
				t.Fatalf("%d are left", len(s.SetAside))
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		for name := range files(t, mem, "data/ring") {
			if strings.HasPrefix(name, "marker.manifest") {
				if err := mem.Remove("data/ring/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// A crash or a power loss at any moment while a damaged store is replaced
// costs nothing.
func TestCrashWhileReplacing(t *testing.T) {
	mem := vfs.NewCrashableMem()
	r := open(t, config(mem))
	all := slots(t0, 130)
	mustAppend(t, r, all...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for name := range files(t, mem, "data/ring") {
		if strings.HasPrefix(name, "marker.manifest") {
			if err := mem.Remove("data/ring/" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	var mu sync.Mutex
	var clones []*vfs.MemFS
	rng := rand.New(rand.NewPCG(3, 4))
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rng}))
		}
		return nil
	}))
	r = open(t, config(fs))
	checkHolds(t, r, all...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if len(clones) < 30 {
		t.Fatalf("only %d crashes", len(clones))
	}
	for i, clone := range clones {
		r := open(t, config(clone))
		if s := r.Status(); s.State != OnDisk {
			t.Fatalf("crash %d of %d: status %+v", i, len(clones), s)
		}
		checkHolds(t, r, all...)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
