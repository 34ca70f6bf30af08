package ring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const t0 = 1795230000 // a block's start

func config(fs vfs.FS) Config {
	return Config{
		Dir: "data", FS: fs, Resolution: 15 * time.Second, Retention: 24 * time.Hour,
	}
}

func open(t *testing.T, cfg Config) *Ring {
	t.Helper()
	r := Open(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// at makes a scrape whose values tell the slot: cpu of the node is the slot,
// that of pod i is slot + i, that of its container slot + 100 i.
func at(slot int64, pods int) *model.Scrape {
	sample := func(name string, cpu int64) model.Sample {
		s := model.Sample{Name: name, Start: t0}
		s.Set(model.CPU, uint64(cpu))
		return s
	}
	s := &model.Scrape{Groups: []model.Group{{Samples: []model.Sample{sample("", slot)}}}}
	for i := range int64(pods) {
		s.Groups = append(s.Groups, model.Group{
			Pod:     model.PodRef{Namespace: "ns", Name: fmt.Sprintf("pod-%03d", i), UID: fmt.Sprint("uid-", i)},
			Samples: []model.Sample{sample("", slot+i), sample("app", slot+100*i)},
		})
	}
	return s
}

func mustAppend(t *testing.T, r *Ring, slots ...int64) {
	t.Helper()
	for _, slot := range slots {
		if err := r.Append(slot, at(slot, 3)); err != nil {
			t.Fatalf("append slot %d: %v", slot, err)
		}
	}
}

// slots lists n slots from one on, at 15 s.
func slots(from int64, n int) []int64 {
	s := make([]int64, n)
	for i := range s {
		s[i] = from + 15*int64(i)
	}
	return s
}

// key names a value in the ring.
type key struct {
	slot      int64
	pod, name string
}

// read decodes what the query yields; of two samples for a slot the later counts.
func read(t *testing.T, r *Ring, q model.Query) map[key]uint64 {
	t.Helper()
	got, err := readUntil(r, q)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// readUntil is read up to an error. Samples outside of the window are left out.
func readUntil(r *Ring, q model.Query) (map[key]uint64, error) {
	got := map[key]uint64{}
	var d chunk.Decoder
	for b, err := range r.Chunks(context.Background(), q) {
		if err != nil {
			return got, err
		}
		c, err := chunk.Parse(b)
		if err != nil {
			return got, err
		}
		for d.Reset(c); d.Next(); {
			if slot := d.Row().Slot; slot >= q.From && slot <= q.To {
				cpu, _ := d.Row().Get(model.CPU)
				got[key{slot, c.Pod.Name, d.Row().Name}] = cpu
			}
		}
		if d.Err() != nil {
			return got, d.Err()
		}
	}
	return got, nil
}

var (
	forever = model.Query{From: -1 << 40, To: 1 << 40}
	allPods = model.Query{Pods: true, From: -1 << 40, To: 1 << 40}
)

// checkHolds compares the whole ring with the slots that it should hold.
func checkHolds(t *testing.T, r *Ring, want ...int64) {
	t.Helper()
	nodes, pods := map[key]uint64{}, map[key]uint64{}
	for _, slot := range want {
		nodes[key{slot, "", ""}] = uint64(slot)
		for i := range int64(3) {
			name := fmt.Sprintf("pod-%03d", i)
			pods[key{slot, name, ""}] = uint64(slot + i)
			pods[key{slot, name, "app"}] = uint64(slot + 100*i)
		}
	}
	if got := read(t, r, forever); !maps.Equal(got, nodes) {
		t.Fatalf("node: %d samples, want %d", len(got), len(nodes))
	}
	if got := read(t, r, allPods); !maps.Equal(got, pods) {
		t.Fatalf("pods: %d samples, want %d", len(got), len(pods))
	}
}

func TestKeepsOverBlocksAndRestarts(t *testing.T) {
	cfg := config(vfs.NewMem())
	r := open(t, cfg)
	all := slots(t0+30, 150) // two and a half blocks, starting inside one
	mustAppend(t, r, all[:100]...)
	checkHolds(t, r, all[:100]...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	checkHolds(t, r, all[:100]...)
	if slot, s, ok := r.Latest(); !ok || slot != all[99] || s.Entities() != 7 {
		t.Fatalf("Latest after a restart = %d, %d entities, %v", slot, s.Entities(), ok)
	}
	mustAppend(t, r, all[100:]...)
	checkHolds(t, r, all...)
	if s := r.Status(); len(s.Blocks) != 2 || s.Oldest != all[0] || s.Newest != all[149] || s.State != "disk" || s.Unstored != 0 {
		t.Fatalf("status %+v", s)
	}
}

// What follows from other samples is in the newest scrape, and not stored.
func TestDerivedMetricsAreNotStored(t *testing.T) {
	r := open(t, config(vfs.NewMem()))
	scrape := at(t0, 1)
	for i := range scrape.Groups {
		for j := range scrape.Groups[i].Samples {
			scrape.Groups[i].Samples[j].Set(model.CPUWindow, 15000)
			scrape.Groups[i].Samples[j].Set(model.CPUMean, 1e6)
		}
	}
	if err := r.Append(t0, scrape); err != nil {
		t.Fatal(err)
	}
	_, latest, _ := r.Latest()
	if v := latest.Groups[1].Samples[1]; !v.Has(model.CPUWindow) || !v.Has(model.CPUMean) {
		t.Error("the newest scrape lacks the derived metrics")
	}
	var d chunk.Decoder
	for b, err := range r.Chunks(t.Context(), allPods) {
		if err != nil {
			t.Fatal(err)
		}
		c, err := chunk.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		for d.Reset(c); d.Next(); {
			if got := model.Metrics(d.Row().Present()); got&model.Derived != 0 || got == 0 {
				t.Errorf("stored metrics %b", got)
			}
		}
	}
}

// TestScrape asks for the newest scrapes as aggregators do, who want all nodes'
// of one slot.
func TestScrape(t *testing.T) {
	cfg := config(vfs.NewMem())
	r := open(t, cfg)
	expect := func(to, want int64) {
		t.Helper()
		slot, s, ok := r.Scrape(to)
		if ok != (want != 0) || (ok && (slot != want || s.Entities() != 7)) {
			t.Errorf("the newest up to %d is %d with %d entities, %v; want %d", to, slot, s.Entities(), ok, want)
		}
	}
	expect(t0, 0)
	mustAppend(t, r, t0+885)
	expect(t0+884, 0)
	expect(t0+885, t0+885)
	mustAppend(t, r, t0+900) // another block
	expect(t0+899, t0+885)
	expect(t0+5000, t0+900)
	mustAppend(t, r, t0+930)
	expect(t0+929, t0+900)
	expect(t0+899, 0)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	if slot, _, ok := r.Latest(); !ok || slot != t0+930 {
		t.Errorf("the latest is of slot %d, %v", slot, ok)
	}
	expect(t0+930, 0) // that is not as it was appended
	mustAppend(t, r, t0+945)
	expect(t0+944, 0)
	expect(t0+945, t0+945)
}

// A slot is late if it comes after the time at which aggregators ask for it, and it
// is so also when the next has come: they still ask for it then.
func TestLate(t *testing.T) {
	r := open(t, config(vfs.NewMem()))
	soon := model.SlotOf(time.Now(), 15*time.Second) + 3600
	type slot struct {
		at   int64
		late bool
	}
	var before slot
	for _, s := range []slot{{soon - 7200, true}, {soon, false}, {soon + 15, false}, {soon - 6990, true}, {soon + 30, false}} {
		if r.Late(s.at) {
			t.Errorf("slot %d is late before it has come", s.at)
		}
		mustAppend(t, r, s.at)
		for _, known := range []slot{s, before} {
			if got := r.Late(known.at); got != known.late {
				t.Errorf("after slot %d: slot %d late: %v", s.at, known.at, got)
			}
		}
		before = s
	}
}

func TestQueryFilters(t *testing.T) {
	r := open(t, config(vfs.NewMem()))
	mustAppend(t, r, slots(t0, 130)...)
	cases := map[string]struct {
		q    model.Query
		want int
	}{
		"node, all":           {forever, 130},
		"node, second block":  {model.Query{From: t0 + 900, To: t0 + 1799}, 60},
		"node, nothing there": {model.Query{From: t0 - 900, To: t0 - 1}, 0},
		"namespace":           {model.Query{Pods: true, Namespace: "ns", From: t0, To: t0 + 899}, 60 * 6},
		"another namespace":   {model.Query{Pods: true, Namespace: "n", From: t0, To: t0 + 4000}, 0},
		"pod":                 {model.Query{Pods: true, Namespace: "ns", Pod: "pod-001", From: t0, To: t0 + 4000}, 130 * 2},
		"a prefix of a pod":   {model.Query{Pods: true, Namespace: "ns", Pod: "pod-00", From: t0, To: t0 + 4000}, 0},
		"pods, one slot":      {model.Query{Pods: true, From: t0 + 1800, To: t0 + 1800}, 6},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := read(t, r, c.q); len(got) != c.want {
				t.Errorf("%d samples, want %d", len(got), c.want)
			}
		})
	}
	for name, want := range map[string]bool{"pod-001": true, "pod-00": false, "": true, "gone": false} {
		if got, err := r.Knows("ns", name); got != want || err != nil {
			t.Errorf("Knows(ns, %q) = %v, %v", name, got, err)
		}
	}
}

func TestGapsAndWhy(t *testing.T) {
	r := open(t, config(vfs.NewMem()))
	mustAppend(t, r, t0, t0+15)
	r.Miss(t0+30, "kubelet: timeout")
	r.Miss(t0+45, "kubelet: timeout")
	mustAppend(t, r, t0+90, t0+900)
	gaps := r.Status().Blocks[0].Gaps
	if len(gaps) != 3 || gaps[0] != (Gap{t0 + 30, t0 + 45, "kubelet: timeout"}) ||
		gaps[1].From != t0+60 || gaps[1].To != t0+75 || gaps[2].To != t0+885 {
		t.Fatalf("gaps %+v", gaps)
	}
}

// A clock that jumps loses nothing and never makes slots go back within what
// a reader merges by time.
func TestClockJumps(t *testing.T) {
	cases := map[string][]int64{
		"forth by three hours":      append(slots(t0, 30), slots(t0+3*3600, 70)...),
		"back by three hours":       append(slots(t0, 70), slots(t0-3*3600+15, 70)...),
		"back within the block":     append(slots(t0+300, 30), slots(t0+15, 10)...),
		"forth by two days":         append(slots(t0, 70), slots(t0+48*3600, 70)...),
		"forth and back again":      append(append(slots(t0, 30), slots(t0+7200, 30)...), slots(t0+30*15, 60)...),
		"the same slot once more":   append(slots(t0, 30), t0+29*15),
		"the same slots once more":  append(slots(t0, 70), slots(t0+300, 70)...),
		"to before the Unix epoch":  append(slots(t0, 5), slots(-9000, 70)...),
		"far into the next century": append(slots(t0, 5), slots(t0+100*365*86400/900*900, 70)...),
	}
	for name, appended := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := config(vfs.NewMem())
			r := open(t, cfg)
			mustAppend(t, r, appended...)
			checkHolds(t, r, appended...)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			r = open(t, cfg)
			checkHolds(t, r, appended...)
			last := int64(-1 << 62)
			var d chunk.Decoder
			for b, err := range r.Chunks(context.Background(), forever) {
				if err != nil {
					t.Fatal(err)
				}
				c, err := chunk.Parse(b)
				if err != nil {
					t.Fatal(err)
				}
				if c.Block < last {
					t.Fatalf("block %d after %d", c.Block, last)
				}
				last = c.Block
				for d.Reset(c); d.Next(); {
				}
			}
		})
	}
}

// Of two samples for one slot the later one counts, on disk and in memory.
func TestLaterSampleCounts(t *testing.T) {
	r := open(t, config(vfs.NewMem()))
	mustAppend(t, r, slots(t0, 10)...)
	s := at(t0+30, 0)
	s.Groups[0].Samples[0].Set(model.CPU, 1)
	if err := r.Append(t0+30, s); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := read(t, r, forever)[key{t0 + 30, "", ""}]; got != 1 {
			t.Fatalf("cpu %d, want the later sample's 1", got)
		}
		mustAppend(t, r, t0+9000) // closes the block
	}
}

func TestResolutionChanges(t *testing.T) {
	cfg := config(vfs.NewMem())
	r := open(t, cfg)
	mustAppend(t, r, slots(t0, 30)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	want := slots(t0, 30)
	for _, res := range []int64{5, 60, 15} {
		cfg.Resolution = time.Duration(res) * time.Second
		r = open(t, cfg)
		from := want[len(want)-1]/60*60 + 60
		for i := range int64(10) {
			mustAppend(t, r, from+i*res)
			want = append(want, from+i*res)
		}
		checkHolds(t, r, want...)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	checkHolds(t, open(t, cfg), want...)
}

func TestExpires(t *testing.T) {
	cfg := config(vfs.NewMem())
	cfg.Retention = time.Hour
	r := open(t, cfg)
	all := slots(t0, 60*20) // five hours
	mustAppend(t, r, all...)
	s := r.Status()
	if n := len(s.Blocks); n < 4 || n > 4+deleteBlocks {
		t.Fatalf("%d blocks, want 4 to %d", n, 4+deleteBlocks)
	}
	if s.Newest-s.Oldest < 3600 {
		t.Fatalf("%d s kept, want at least an hour", s.Newest-s.Oldest)
	}
	if got := read(t, r, forever); len(got) != int(s.Newest-s.Oldest)/15+1 {
		t.Fatalf("%d samples, status says %d..%d", len(got), s.Oldest, s.Newest)
	}
	// Small blocks count for what they hold: many jumps of the clock do not
	// push out history.
	for i := range int64(40) {
		mustAppend(t, r, t0+(i%2)*90000)
	}
	if got := read(t, r, model.Query{From: s.Newest - 2700, To: s.Newest}); len(got) < 180 {
		t.Fatalf("after 40 jumps only %d slots of the last 45 min are left", len(got))
	}
}

// TestKill9 takes a copy of the file system before each of its operations, as
// it would be found after kill -9 (all that was written) and after a power
// loss (only what was synced), opens each copy, and looks for every slot that
// was acknowledged by then.
func TestKill9(t *testing.T) {
	type crash struct {
		fs    *vfs.MemFS
		acked int
		op    string
	}
	var mu sync.Mutex
	var crashes []crash
	acked := 0
	mem := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(1, 2))
	n := 0
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		// All copies around block closes and a third of the others: the test
		// stays at seconds under the race detector.
		if n%3 != 0 && acked%60 > 3 {
			return nil
		}
		percent := []int{0, 100, 50}[rng.IntN(3)]
		crashes = append(crashes, crash{
			mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), acked,
			fmt.Sprintf("op %d (%v %s), %d%% of what was not synced", n, op.Kind, op.Path, percent),
		})
		return nil
	}))
	r := open(t, config(fs))
	all := slots(t0+600, 150)
	for i, slot := range all {
		mustAppend(t, r, slot)
		mu.Lock()
		acked = i + 1
		mu.Unlock()
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes", len(crashes))
	if len(crashes) < 150 {
		t.Fatalf("only %d crashes", len(crashes))
	}
	for _, c := range crashes {
		r := open(t, config(c.fs))
		if s := r.Status(); s.State != "disk" || s.Error != "" {
			t.Fatalf("%s: status %+v", c.op, s)
		}
		got := read(t, r, forever)
		if len(got) < c.acked || len(got) > c.acked+1 {
			t.Fatalf("%s: %d slots, %d were acknowledged", c.op, len(got), c.acked)
		}
		checkHolds(t, r, all[:len(got)]...) // no half slot
		next := all[len(got)-1+min(1, len(all)-len(got))] + 15
		mustAppend(t, r, next)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// unwritable fails each write with an error, while it is on.
func unwritable(err error) *errorfs.Toggle {
	t := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return err
		}
		return nil
	})}
	t.On()
	return t
}

// appendUntilStored appends slots until one is on disk again.
func appendUntilStored(t *testing.T, r *Ring, all []int64) []int64 {
	t.Helper()
	for range 3 * reopenEvery {
		slot := all[len(all)-1] + 15
		err := r.Append(slot, at(slot, 3))
		all = append(all, slot)
		if err == nil {
			return all
		}
	}
	t.Fatalf("not back after %d slots: %v", 3*reopenEvery, r.Err())
	return nil
}

// A store that cannot be written is read, and written when that works again.
func TestReadOnlyUntilItCanBeWritten(t *testing.T) {
	mem := vfs.NewMem()
	r := open(t, config(mem))
	mustAppend(t, r, slots(t0, 70)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	broken := unwritable(os.ErrPermission)
	r = open(t, config(errorfs.Wrap(mem, broken)))
	if s := r.Status(); s.State != ReadOnly || !strings.Contains(s.Error, "permission denied") || s.Since.IsZero() {
		t.Fatalf("status %+v", s)
	}
	all := slots(t0, 140)
	for _, slot := range all[70:] { // over the end of a block
		if err := r.Append(slot, at(slot, 3)); !errors.Is(err, ErrNotStored) || !errors.Is(err, os.ErrPermission) {
			t.Fatalf("append: %v", err)
		}
	}
	checkHolds(t, r, all...)
	broken.Off()
	all = appendUntilStored(t, r, all)
	checkHolds(t, r, all...)
	if s := r.Status(); s.State != OnDisk || s.Error != "" || s.Unstored != 0 || len(s.SetAside) > 0 {
		t.Fatalf("status %+v", s)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	checkHolds(t, open(t, config(mem)), all...)
}

// While a store cannot be read either, what is in memory is answered in full,
// and what is not is said to be missing.
func TestMemoryOnlyUntilItCanBeRead(t *testing.T) {
	mem := vfs.NewMem()
	r := open(t, config(mem))
	mustAppend(t, r, slots(t0, 70)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	broken := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(errorfs.Op) error { return os.ErrPermission })}
	broken.On()
	r = open(t, config(errorfs.Wrap(mem, broken)))
	all := slots(t0, 75)
	for _, slot := range all[70:] {
		if err := r.Append(slot, at(slot, 3)); !errors.Is(err, ErrNotStored) {
			t.Fatalf("append: %v", err)
		}
	}
	if s := r.Status(); s.State != InMemory || !strings.Contains(s.Error, "permission denied") {
		t.Fatalf("status %+v", s)
	}
	if got := read(t, r, model.Query{From: all[70], To: all[74]}); len(got) != 5 {
		t.Fatalf("%d slots of memory, want 5", len(got))
	}
	got, err := readUntil(r, model.Query{From: all[69], To: all[74]})
	if len(got) != 5 || err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Fatalf("%d slots, error %v", len(got), err)
	}
	if known, err := r.Knows("ns", "gone"); known || err == nil {
		t.Fatalf("Knows without a store = %v, %v", known, err)
	}
	broken.Off()
	checkHolds(t, r, appendUntilStored(t, r, all)...)
}

func TestMemoryOnlyIsBounded(t *testing.T) {
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return os.ErrPermission
		}
		return nil
	}))
	r := open(t, config(fs))
	for _, slot := range slots(t0, 60*12) {
		if err := r.Append(slot, at(slot, 3)); !errors.Is(err, ErrNotStored) {
			t.Fatal(err)
		}
	}
	if s := r.Status(); len(s.Waiting) != maxWaiting || s.Newest-s.Oldest < 2*3600 {
		t.Fatalf("%d blocks wait, %d s kept", len(s.Waiting), s.Newest-s.Oldest)
	}
}

func TestStoreOfAnotherVersionIsLeftAlone(t *testing.T) {
	mem := vfs.NewMem()
	cfg := config(mem)
	r := open(t, cfg)
	mustAppend(t, r, slots(t0, 5)...)
	if err := r.store.db.Set([]byte{keySchema}, []byte{schemaVersion + 1}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	if s := r.Status(); s.State != InMemory || !strings.Contains(s.Error, "schema version") {
		t.Fatalf("status %+v", s)
	}
	for _, slot := range slots(t0+75, 2*reopenEvery) {
		if err := r.Append(slot, at(slot, 3)); !errors.Is(err, errSchema) {
			t.Fatalf("append: %v", err)
		}
	}
}

func TestDirectoryInUse(t *testing.T) {
	cfg := config(nil)
	cfg.Dir = t.TempDir()
	first := open(t, cfg)
	mustAppend(t, first, slots(t0, 5)...)
	second := open(t, cfg)
	if s := second.Status(); s.State != InMemory || s.Error == "" {
		t.Fatalf("status %+v", s)
	}
	mustAppend(t, first, t0+75)
	checkHolds(t, first, slots(t0, 6)...)
}

// Reads that the disk fails are told, the rest is answered, and when the disk is
// well again so is the ring.
func TestReadErrors(t *testing.T) {
	mem := vfs.NewMem()
	r := open(t, config(mem))
	mustAppend(t, r, slots(t0, 400)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	broken := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			return syscall.EIO
		}
		return nil
	})}
	r = open(t, config(errorfs.Wrap(mem, broken)))
	broken.On()
	got, err := readUntil(r, allPods)
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("error %v", err)
	}
	if len(got) < 40*6 { // the open block's 40 slots are in memory
		t.Fatalf("%d samples", len(got))
	}
	all := slots(t0, 401)
	if err := r.Append(all[400], at(all[400], 3)); !errors.Is(err, ErrNotStored) {
		t.Fatalf("append: %v", err)
	}
	if s := r.Status(); s.State != InMemory || !strings.Contains(s.Error, "input/output error") {
		t.Fatalf("status %+v", s)
	}
	broken.Off()
	checkHolds(t, r, appendUntilStored(t, r, all)...)
	if s := r.Status(); len(s.SetAside) > 0 {
		t.Fatalf("a disk that had errors for a minute is no damaged store: %+v", s.SetAside)
	}
}

// An outage that outlasts a block is explained in the next one, too.
func TestMissesGoOverToTheNextBlock(t *testing.T) {
	r := open(t, config(vfs.NewMem()))
	mustAppend(t, r, t0+870)
	for _, slot := range slots(t0+885, 10) {
		r.Miss(slot, "kubelet: timeout")
	}
	mustAppend(t, r, t0+900+9*15)
	want := Gap{t0 + 900, t0 + 900 + 8*15, "kubelet: timeout"}
	if s := r.Status(); len(s.Open.Gaps) != 1 || s.Open.Gaps[0] != want {
		t.Fatalf("open block %+v", s.Open)
	}
	if gaps := r.Status().Blocks[0].Gaps; gaps[len(gaps)-1] != (Gap{t0 + 885, t0 + 885, "kubelet: timeout"}) {
		t.Fatalf("closed block %+v", gaps)
	}
}

// A record that does not follow ends the open block there; closed blocks stay.
func TestDamagedRecord(t *testing.T) {
	bits := func(v []byte) []byte { v[len(v)-3] ^= 0xff; return v }
	for name, c := range map[string]struct {
		record, left int
		damage       func(v []byte) []byte
	}{
		"bits":           {10, 70, bits},
		"short":          {10, 70, func(v []byte) []byte { return v[:len(v)-2] }},
		"empty":          {10, 70, func([]byte) []byte { return nil }},
		"the first":      {0, 60, bits},
		"the first gone": {0, 60, func([]byte) []byte { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			damage := c.damage
			cfg := config(vfs.NewMem())
			r := open(t, cfg)
			mustAppend(t, r, slots(t0, 80)...)
			v, closer, err := r.store.db.Get(recordKey(c.record))
			if err != nil {
				t.Fatal(err)
			}
			bad := damage(append([]byte(nil), v...))
			if err := closer.Close(); err != nil {
				t.Fatal(err)
			}
			if err := r.store.db.Set(recordKey(c.record), bad, pebble.Sync); err != nil {
				t.Fatal(err)
			}
			if err := r.Abandon(); err != nil {
				t.Fatal(err)
			}
			r = open(t, cfg)
			got := read(t, r, forever)
			if len(got) != c.left {
				t.Fatalf("%d slots, want the 60 of the closed block and those before the damage", len(got))
			}
			mustAppend(t, r, slots(t0+80*15, 20)...)
			if s := r.Status(); s.State != "disk" || s.Error != "" {
				t.Fatalf("status %+v", s)
			}
			// What came after the damage survives the next restart.
			want := len(read(t, r, forever))
			if err := r.Abandon(); err != nil {
				t.Fatal(err)
			}
			if got := read(t, open(t, cfg), forever); len(got) != want {
				t.Fatalf("%d slots after another restart, want %d", len(got), want)
			}
		})
	}
}

func TestReadersAndAWriter(t *testing.T) {
	r := open(t, config(vfs.NewMem()))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := len(read(t, r, forever))
				if m := len(read(t, r, forever)); m < n {
					t.Errorf("%d slots, then %d", n, m)
				}
			}
		})
	}
	mustAppend(t, r, slots(t0, 200)...)
	close(stop)
	readers.Wait()
}

func TestCloseWhileReading(t *testing.T) {
	r := open(t, config(vfs.NewMem()))
	mustAppend(t, r, slots(t0, 130)...)
	closed := make(chan error)
	for _, err := range r.Chunks(context.Background(), forever) {
		if err != nil {
			t.Fatal(err)
		}
		go func() { closed <- r.Close() }()
		break
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	for _, err := range r.Chunks(context.Background(), forever) {
		if !errors.Is(err, errClosed) {
			t.Fatalf("after Close: %v", err)
		}
	}
	if err := r.Append(t0+9000, at(t0+9000, 1)); !errors.Is(err, errClosed) {
		t.Fatalf("append after Close: %v", err)
	}
}

func TestQueryIsCancelled(t *testing.T) {
	r := open(t, config(vfs.NewMem()))
	mustAppend(t, r, slots(t0, 130)...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n := 0
	for _, err := range r.Chunks(ctx, allPods) {
		n++
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
	}
	if n != 1 {
		t.Fatalf("%d steps after cancellation", n)
	}
}

func FuzzRecord(f *testing.F) {
	b := newBlock(7, t0, 15*time.Second)
	b.append(t0, at(t0, 2))
	f.Add(b.appendRecord(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := parseRecord(data)
		if err != nil {
			return
		}
		if err := newBlock(h.seq, h.start, h.resolution).apply(h); err != nil && !errors.Is(err, errRecord) {
			t.Fatalf("error of another kind: %v", err)
		}
	})
}
