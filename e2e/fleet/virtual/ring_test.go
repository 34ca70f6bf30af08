package virtual

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// An id is of one entity in one slot, a row what it has there.
type id struct {
	slot      int64
	ref       model.PodRef
	container string
}

type row struct {
	start   int64
	present uint32
	values  [model.NumMetrics]uint64
}

func rowOf(s *model.Sample) row {
	r := row{start: s.Start, present: s.Present()}
	for m := range model.NumMetrics {
		if x, ok := s.Get(m); ok {
			r.values[m] = x
		}
	}
	return r
}

// decoded are the rows of all chunks that a query yields, by key.
func decoded(t *testing.T, r *ring, q model.Query) map[id]row {
	t.Helper()
	rows := map[id]row{}
	var d chunk.Decoder
	before := int64(0)
	for b, err := range r.Chunks(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		c, err := chunk.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if c.Block < before {
			t.Fatalf("block %d after %d", c.Block, before)
		}
		before = c.Block
		for d.Reset(c); d.Next(); {
			s := d.Row()
			k := id{s.Slot, c.Pod, s.Name}
			if _, twice := rows[k]; twice {
				t.Fatalf("%+v comes twice", k)
			}
			rows[k] = rowOf(s.Sample)
		}
		if d.Err() != nil {
			t.Fatal(d.Err())
		}
	}
	return rows
}

// truthRows are the rows of a truth, of the node or of pods.
func truthRows(t *testing.T, r *ring, from, to int64, pods bool) map[id]row {
	t.Helper()
	truth := r.truth(from, to)
	rows := map[id]row{}
	for _, s := range truth.Slots {
		for _, e := range s.Entities {
			if (e.Pod != "") != pods {
				continue
			}
			if (s.Form == "full") != hasStorage(&e) {
				t.Fatalf("slot %d is %s, and has %v", s.Slot, s.Form, e.Values)
			}
			got := row{start: e.Start}
			for name, x := range e.Values {
				m, err := model.ParseMetric(name)
				if err != nil {
					t.Fatal(err)
				}
				got.present |= 1 << m
				got.values[m] = x
			}
			rows[id{s.Slot, model.PodRef{Namespace: e.Namespace, Name: e.Pod, UID: e.UID}, e.Container}] = got
		}
	}
	return rows
}

func hasStorage(e *standin.TruthEntity) bool {
	for _, m := range []string{"rootfs", "logs", "ephemeral"} {
		if _, ok := e.Values[m]; ok {
			return true
		}
	}
	return false
}

// Chunks say what was measured: for random nodes and times, in blocks that are
// closed and in the one that is open, slot by slot.
func TestChunksAreTrue(t *testing.T) {
	t.Parallel()
	minutely := configOf(100)
	minutely.Resolution, minutely.life = time.Minute, shortLife
	minutes := castOf(t, minutely)
	if err := minutes.play(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*cast{playedCast(t), minutes} {
		cfg := c.cfg
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			compared := 0
			for range 12 {
				time.Sleep(time.Duration(rng.Int64N(int64(5 * time.Hour))))
				r := newRing(c, rng.IntN(cfg.Nodes))
				newest := r.newest()
				// Up to the newest slot, or earlier.
				to := newest - rng.Int64N(2)*rng.Int64N(86000)
				from := to - rng.Int64N(3000)
				for _, pods := range []bool{false, true} {
					want := truthRows(t, r, from, to, pods)
					got := decoded(t, r, model.Query{Pods: pods, From: from, To: to})
					maps.DeleteFunc(got, func(k id, _ row) bool { return k.slot < from || k.slot > to })
					if !maps.Equal(got, want) {
						t.Fatalf("%s at %d, slots %d to %d: %d rows, want %d: %s", nodeName(r.node), newest, from, to, len(got), len(want), difference(got, want))
					}
					compared += len(got)
				}
			}
			if compared < 10000 {
				t.Errorf("compared %d rows", compared)
			}
		})
	}
}

func difference(got, want map[id]row) string {
	for k := range want {
		if got[k] != want[k] {
			return fmt.Sprintf("%+v is %+v, want %+v", k, got[k], want[k])
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			return fmt.Sprintf("%+v is %+v, which is not true", k, got[k])
		}
	}
	return "none"
}

// A node's slot is there at its phase, in the open block, and its newest
// samples are those of its chunks.
func TestNewest(t *testing.T) {
	t.Parallel()
	c := playedCast(t)
	cfg := c.cfg
	synctest.Test(t, func(t *testing.T) {
		for i := range 20 {
			r := newRing(c, 7*i%cfg.Nodes)
			slot := model.SlotOf(time.Now(), cfg.Resolution) + 15
			time.Sleep(time.Until(time.Unix(slot, 0).Add(r.phase - time.Millisecond)))
			if got, _, _ := r.Scrape(1 << 62); got != slot-15 {
				t.Fatalf("before its phase the newest slot is %d, want %d", got, slot-15)
			}
			time.Sleep(time.Millisecond)
			got, scrape, ok := r.Scrape(1 << 62)
			if got != slot || !ok || len(scrape.Groups) != 31 {
				t.Fatalf("slot %d, %v, with %d groups; want %d with 31", got, ok, len(scrape.Groups), slot)
			}
			if !slices.IsSortedFunc(scrape.Groups, func(a, b model.Group) int { return a.Pod.Compare(b.Pod) }) {
				t.Fatal("the groups are not in order")
			}
			latest := map[id]row{}
			windows := 0
			for _, g := range scrape.Groups {
				for _, s := range g.Samples {
					if w, ok := s.Get(model.CPUWindow); ok {
						windows++
						if w < 4000 || w > 90_000 {
							t.Errorf("%v %s: CPU was measured for %d ms", g.Pod, s.Name, w)
						}
					}
					s.Keep(model.AllMetrics &^ model.Derived)
					latest[id{slot, g.Pod, s.Name}] = rowOf(&s)
				}
			}
			if windows < (1+30+45)*9/10 {
				t.Errorf("%d samples say how long CPU was measured", windows)
			}
			chunks := decoded(t, r, model.Query{Pods: true, From: slot, To: slot})
			maps.Copy(chunks, decoded(t, r, model.Query{From: slot, To: slot}))
			maps.DeleteFunc(chunks, func(k id, _ row) bool { return k.slot != slot })
			if !maps.Equal(latest, chunks) || len(latest) != 1+30+45 {
				t.Fatalf("%d newest samples, %d by chunks: %s", len(latest), len(chunks), difference(latest, chunks))
			}
			time.Sleep(11 * time.Minute)
		}
	})
}

// What is asked for is there and nothing else of other pods, for all of the
// history and not before.
func TestQueries(t *testing.T) {
	t.Parallel()
	day := *playedCast(t)
	cfg := *day.cfg
	cfg.History = 6 * time.Hour // more would take a while to compare
	c := &day
	c.cfg = &cfg
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(5 * time.Minute)
		r := newRing(c, 4)
		always := model.Query{Pods: true, From: -1 << 62, To: 1 << 62}
		all := decoded(t, r, always)
		oldest := r.newest()
		names := map[model.PodRef]bool{}
		for k := range all {
			oldest = min(oldest, k.slot)
			names[k.ref] = true
		}
		if want := model.BlockOf(r.newest() - 6*3600); oldest != want {
			t.Errorf("the oldest slot is %d, want %d", oldest, want)
		}
		refs, err := r.Pods(t.Context(), always)
		if err != nil || len(refs) != len(names) || !slices.IsSortedFunc(refs, model.PodRef.Compare) {
			t.Errorf("%d pods of %d, %v", len(refs), len(names), err)
		}
		if len(refs) <= 30 || len(refs) > 70 {
			t.Errorf("%d pods in 6 h, on 30 places", len(refs))
		}
		for _, ref := range refs {
			q := always
			q.Namespace, q.Pod = ref.Namespace, ref.Name
			want := maps.Clone(all)
			maps.DeleteFunc(want, func(k id, _ row) bool { return k.ref.Namespace != ref.Namespace || k.ref.Name != ref.Name })
			if got := decoded(t, r, q); !maps.Equal(got, want) || len(got) == 0 {
				t.Fatalf("%v: %d rows, want %d", ref, len(got), len(want))
			}
			known, err := r.Knows(ref.Namespace, ref.Name)
			if !known || err != nil {
				t.Errorf("%v: known %v, %v", ref, known, err)
			}
		}
		for _, q := range []model.Query{{Pods: true, From: 0, To: 1}, {From: 0, To: 1}, {From: r.newest() + 15, To: 1 << 40}, {Pods: true, Namespace: "nowhere", To: 1 << 40}} {
			if got := decoded(t, r, q); len(got) != 0 {
				t.Errorf("%+v: %d rows", q, len(got))
			}
			if pods, err := r.Pods(t.Context(), q); q.Pods && (len(pods) != 0 || err != nil) {
				t.Errorf("%+v: %v, %v", q, pods, err)
			}
		}
		for _, ask := range [][2]string{{"nowhere", ""}, {"kube-system", "kube-proxy-"}} {
			if known, err := r.Knows(ask[0], ask[1]); known || err != nil {
				t.Errorf("%v: known %v, %v", ask, known, err)
			}
		}
		if known, err := r.Knows("kube-system", ""); !known || err != nil {
			t.Errorf("kube-system: known %v, %v", known, err)
		}
	})
}

// Pods lists what Chunks yields, also where one pod follows another in the
// block that is asked for.
func TestPodsAreThoseOfChunks(t *testing.T) {
	t.Parallel()
	c := playedCast(t)
	cfg := c.cfg
	synctest.Test(t, func(t *testing.T) {
		replaced := 0
		for i := range 200 {
			r := newRing(c, i%cfg.Nodes)
			time.Sleep(7*time.Minute + 13*time.Second)
			q := model.Query{Pods: true, From: r.newest(), To: r.newest()}
			refs, err := r.Pods(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			names := map[model.PodRef]bool{}
			for b, err := range r.Chunks(t.Context(), q) {
				c, errParse := chunk.Parse(b)
				if err != nil || errParse != nil {
					t.Fatal(err, errParse)
				}
				names[c.Pod] = true
			}
			want := slices.SortedFunc(maps.Keys(names), model.PodRef.Compare)
			if !slices.Equal(refs, want) {
				t.Fatalf("%d pods, %d have chunks", len(refs), len(want))
			}
			replaced += len(refs) - 30
		}
		if replaced == 0 {
			t.Error("no pod was replaced")
		}
	})
}
