package ring

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// files reads all files in dir.
func files(t *testing.T, fs vfs.FS, dir string) map[string][]byte {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string][]byte{}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if m[name], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// diskOf makes a file system that has those files in dir, and nothing else.
func diskOf(t *testing.T, dir string, content map[string][]byte) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range content {
		f, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append([]byte(nil), b...)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// A damage is what happens to one file. It returns nil if the file is gone.
type damage struct {
	name string
	do   func(rng *rand.Rand, b []byte) []byte
}

func flip(from, to float64) func(*rand.Rand, []byte) []byte {
	return func(rng *rand.Rand, b []byte) []byte {
		if len(b) == 0 {
			return []byte{1}
		}
		low, high := int(from*float64(len(b))), int(to*float64(len(b)))
		b[min(len(b)-1, low+rng.IntN(max(1, high-low)))] ^= 1 << rng.IntN(8)
		return b
	}
}

var damages = []damage{
	{"a bit at the start", flip(0, 0.02)},
	{"a bit in the first half", flip(0, 0.5)},
	{"a bit in the second half", flip(0.5, 1)},
	{"another bit", flip(0, 1)},
	{"a bit at the end", flip(0.98, 1)},
	{"cut to nothing", func(_ *rand.Rand, b []byte) []byte { return b[:0] }},
	{"cut somewhere", func(rng *rand.Rand, b []byte) []byte { return b[:rng.IntN(len(b)+1)] }},
	{"cut by a byte", func(_ *rand.Rand, b []byte) []byte { return b[:max(0, len(b)-1)] }},
	{"4 KiB of zeros", func(rng *rand.Rand, b []byte) []byte {
		at := rng.IntN(len(b) + 1)
		clear(b[at:min(len(b), at+4096)])
		return b
	}},
	{"noise at the end", func(_ *rand.Rand, b []byte) []byte { return append(b, "noise after the end"...) }},
	{"gone", func(*rand.Rand, []byte) []byte { return nil }},
}

// noisy makes a scrape of pods whose values do not compress.
func noisy(slot int64, pods int) *model.Scrape {
	s := at(slot, pods)
	for i := range s.Groups {
		rng := rand.New(rand.NewPCG(uint64(slot), uint64(i)))
		for j := range s.Groups[i].Samples {
			for m := range model.CPUWindow { // those that are stored
				s.Groups[i].Samples[j].Set(m, rng.Uint64N(1<<40))
			}
		}
		s.Groups[i].Samples = s.Groups[i].Samples[:1]
	}
	return s
}

// TestDamagedFiles damages each file of a store in every way. Whatever it is,
// the ring opens and works, all that it answers is right, what is lost is told,
// and the damaged store is kept.
func TestDamagedFiles(t *testing.T) {
	small := func(o *pebble.Options) { // dozens of tables instead of one
		o.MemTableSize = 64 << 10
		for i := range o.TargetFileSizes {
			o.TargetFileSizes[i] = 16 << 10
		}
	}
	mem := vfs.NewMem()
	cfg := config(mem)
	cfg.Resolution, cfg.Tune = 5*time.Minute, small
	r := open(t, cfg)
	var last int64
	for i := range int64(24*12 + 4) { // an open block, and one only in the log
		last = t0 + 300 + i*300
		if err := r.Append(last, noisy(last, 8)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Abandon(); err != nil { // so that the log has something
		t.Fatal(err)
	}
	healthy := files(t, mem, "data/ring")
	cfg.FS = diskOf(t, "data/ring", healthy)
	want := read(t, open(t, cfg), allPods)
	cases, aside, lossless, tables, tolds := 0, 0, 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(healthy)) {
		tables += strings.Count(name, ".sst")
		for i, d := range damages {
			// Of most tables one or two cases; all of them with make soak.
			if strings.HasSuffix(name, ".sst") && tables%8 != 1 && i%2 != tables%2 && os.Getenv("ROLLCALL_SOAK") == "" {
				continue
			}
			rng := rand.New(rand.NewPCG(uint64(i), uint64(len(healthy[name]))))
			what := fmt.Sprintf("%s: %s", name, d.name)
			content := maps.Clone(healthy)
			if content[name] = d.do(rng, append([]byte(nil), healthy[name]...)); content[name] == nil {
				delete(content, name)
			}
			cfg.FS = diskOf(t, "data/ring", content)
			r := open(t, cfg)
			s := r.Status()
			if s.State != OnDisk || s.Error != "" {
				t.Fatalf("%s: status %+v", what, s)
			}
			got, told := readUntil(r, allPods)
			for k, v := range got {
				if want[k] != v {
					t.Fatalf("%s: %v is %d, was %d", what, k, v, want[k])
				}
			}
			cases++
			if len(got) == len(want) {
				lossless++
			}
			// The newest log may end anywhere, or be empty, after a crash as well:
			// Pebble cannot tell, so nobody can. That is at most a memtable.
			if log := strings.HasSuffix(name, ".log"); len(s.SetAside) == 0 && len(got) < len(want) && (!log || len(want)-len(got) > 300) {
				t.Errorf("%s: %d of %d samples are lost in silence", what, len(want)-len(got), len(want))
			}
			if (told != nil) != (s.Lost > 0) {
				t.Errorf("%s: %d chunks are lost, answers say %v", what, s.Lost, told)
			}
			if told != nil {
				tolds++
			}
			if len(s.SetAside) > 0 {
				aside++
				if s.SetAside[0].Why == "" || s.SetAside[0].Bytes == 0 || !strings.HasPrefix(s.SetAside[0].Name, "ring.damaged-20") {
					t.Errorf("%s: set aside %+v", what, s.SetAside)
				}
				if kept := files(t, cfg.FS, "data/"+s.SetAside[0].Name); string(kept[name]) != string(content[name]) {
					t.Errorf("%s: the file is not kept as it was found", what)
				}
			}
			// At most what one file held is lost: a table has 1 MB at most.
			if len(got) < len(want)*3/4 {
				t.Errorf("%s: only %d of %d samples are left", what, len(got), len(want))
			}
			if err := r.Append(last+300, noisy(last+300, 8)); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			r = open(t, cfg)
			if again, _ := readUntil(r, allPods); len(again) != len(got)+8 {
				t.Fatalf("%s: %d samples after a restart, want %d", what, len(again), len(got)+8)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d cases, %d stores set aside, nothing lost in %d, answers that tell of losses in %d", cases, aside, lossless, tolds)
	if cases < 150 || aside < cases/3 || tolds < cases/10 {
		t.Errorf("%d cases, %d set aside: the test does not damage what it should", cases, aside)
	}
}
