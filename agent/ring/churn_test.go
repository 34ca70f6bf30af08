package ring_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// TestChurn is a node on which 10,000 pods live in a day, 110 at a time, each
// for about 16 minutes. What they leave behind goes with their last block: the
// disk, the heap and what is known of names stay as they were once the ring
// was full for the first time.
//
// A slot is a minute, which takes a quarter of the work of 15 s for the same
// pods, chunks and blocks, and the ring is full after six hours; with
// ROLLCALL_SOAK set it keeps a day, and there are three.
func TestChurn(t *testing.T) {
	retention, rounds := 6*time.Hour, 4
	if soakTime(t) > 0 {
		retention, rounds = 24*time.Hour, 3
	}
	mem := vfs.NewMem()
	cfg := ring.Config{Dir: "ring", FS: mem, Resolution: time.Minute, Retention: retention}
	r := quiet(cfg)
	defer func() { _ = r.Close() }()

	var heaps, disks []int64
	n := 0
	for range rounds {
		// The 40 slots are for a block that is not closed.
		for end := (len(heaps)+1)*int(retention/time.Minute) + 40; n < end; n++ {
			if err := r.Append(base+60*int64(n), churned(n)); err != nil {
				t.Fatal(err)
			}
			if n%180 == 0 {
				checkOpenBlock(t, r)
			}
		}
		disk := sizeOf(t, mem, cfg.Dir)
		heaps, disks = append(heaps, heap()-disk), append(disks, disk) // the disk is in memory, too
		s := r.Status()
		t.Logf("after %d pods: heap %d KiB, disk %d KiB, %d blocks", n*podsASlot, heaps[len(heaps)-1]>>10, disk>>10, len(s.Blocks))
		// Those of the retention, those that wait to be deleted, and one more.
		if most := int(retention/(model.BlockSeconds*time.Second)) + 5; len(s.Blocks) > most {
			t.Errorf("%d blocks, at most %d should be there", len(s.Blocks), most)
		}
	}
	// In the first round the ring fills up. Bounds are generous: what is on
	// disk depends on when Pebble compacts, and so does what of it is left out here.
	last := rounds - 1
	if before := max(heaps[0], heaps[1]); heaps[last] > before+before/4+2<<20 {
		t.Errorf("the heap without the disk grew with new pods: %d bytes", heaps)
	}
	if disks[last] > 2*disks[1] {
		t.Errorf("the disk grew with new pods: %d bytes", disks)
	}
	checkVanished(t, r, n)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = quiet(cfg)
	checkVanished(t, r, n)
}

const (
	churnedAlive = 110
	// A new pod begins 7 times a minute: 10,080 a day.
	podsASlot = 7
	slotsAPod = churnedAlive / podsASlot // slots that a pod lives
)

// churnedPod is the ith pod, all of whose names are new.
func churnedPod(i int) model.PodRef {
	return model.PodRef{Namespace: "jobs", Name: fmt.Sprintf("job-%08d", i), UID: fmt.Sprintf("uid-%08d", i)}
}

// churned is the nth slot: pods n*7 … are alive.
func churned(n int) *model.Scrape {
	s := &model.Scrape{Groups: make([]model.Group, 1, 1+churnedAlive)}
	s.Groups[0].Samples = []model.Sample{churnedSample("", n)}
	for i := n * podsASlot; i < (n+slotsAPod)*podsASlot; i++ {
		s.Groups = append(s.Groups, model.Group{
			Pod: churnedPod(i), Samples: []model.Sample{churnedSample("app", n+i)},
		})
	}
	return s
}

func churnedSample(name string, n int) model.Sample {
	s := model.Sample{Name: name, Start: base}
	s.Set(model.CPU, uint64(n)*2654435761%1e9)
	s.Set(model.CPUTotal, uint64(n)<<24)
	s.Set(model.WorkingSet, 4096*(uint64(n)*2654435761%1e5))
	return s
}

// checkOpenBlock: the open block has the pods of its own time, no others.
func checkOpenBlock(t *testing.T, r *ring.Ring) {
	t.Helper()
	// Those at its start, and 15 minutes of new ones.
	const most = 1 + churnedAlive + model.BlockSeconds/60*podsASlot
	if s := r.Status(); s.Open == nil || s.Open.Groups > most || s.Unstored > 0 {
		t.Fatalf("open block %+v, at most %d groups were there; %d slots are not on disk", s.Open, most, s.Unstored)
	}
}

// checkVanished: of the pods until slot n, those are known that a kept block
// has, and nothing is left of the others.
func checkVanished(t *testing.T, r *ring.Ring, n int) {
	t.Helper()
	s := r.Status()
	first := int((s.Oldest - base) / 60) // the first slot that is kept
	last := n - 1
	for i, want := range map[int]bool{
		0: false, 2000: false, first*podsASlot - 1: false, first * podsASlot: true,
		(last+slotsAPod)*podsASlot - 1: true, (last + slotsAPod) * podsASlot: false,
	} {
		if known, err := r.Knows("jobs", churnedPod(i).Name); known != want || err != nil {
			t.Errorf("pod %d is known: %v, want %v; %v", i, known, want, err)
		}
	}
	names := map[string]bool{}
	for b, err := range r.Chunks(t.Context(), everything(true)) {
		if err != nil {
			t.Fatal(err)
		}
		c, err := chunk.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		names[c.Pod.Name] = true
	}
	if want := (n - first + slotsAPod - 1) * podsASlot; len(names) != want {
		t.Errorf("chunks name %d pods, want those %d of %d slots", len(names), want, n-first)
	}
	if name := churnedPod(first*podsASlot - 1).Name; names[name] {
		t.Errorf("chunks name %s, which vanished before the oldest slot", name)
	}
}

// heap is what is alive on the heap, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// sizeOf is the size of all files in a directory and below.
func sizeOf(t *testing.T, fs vfs.FS, dir string) int64 {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		switch {
		case err != nil: // deleted meanwhile
		case info.IsDir():
			size += sizeOf(t, fs, path)
		default:
			size += info.Size()
		}
	}
	return size
}
