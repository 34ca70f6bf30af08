package series

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	t0         = 1795230000 // a block's start
	resolution = 15
)

// sent gathers what a Narrower hands on.
type sent struct {
	chunks [][]byte
	binned [][2][]byte
	err    error // of every call
}

func (s *sent) Chunk(b []byte) error {
	s.chunks = append(s.chunks, bytes.Clone(b))
	return s.err
}

func (s *sent) Binned(values, weights []byte) error {
	s.binned = append(s.binned, [2][]byte{bytes.Clone(values), bytes.Clone(weights)})
	return s.err
}

// narrow gives the chunks to a Narrower, in memory that is used again.
func narrow(t testing.TB, q model.Query, chunks ...[]byte) *sent {
	t.Helper()
	out := new(sent)
	n := NewNarrower(q, out)
	for _, b := range chunks {
		b = bytes.Clone(b)
		if err := n.Add(b); err != nil {
			t.Fatal(err)
		}
		clear(b)
	}
	if err := n.End(); err != nil {
		t.Fatal(err)
	}
	return out
}

// A key is one value of one entity name.
type key struct {
	name   string
	slot   int64
	metric model.Metric
}

// table is what a reader sees.
type table map[key]uint64

// A stored sample and where it is from.
type stored struct {
	node, uid int
	slot      int64
	model.Sample
}

// randomHistory makes the samples of one pod: of several UIDs on several nodes
// that have no slot in common, with restarts, gaps, and metrics that are absent.
func randomHistory(r *rand.Rand) (nodes int, samples []stored) {
	nodes = 1 + r.IntN(3)
	names := []string{"", "app", "envoy"}[:1+r.IntN(3)]
	metrics := []model.Metric{model.CPU, model.WorkingSet, model.CPUTotal, model.Usage, model.PSIIOFull}
	huge := r.IntN(3) == 0
	starts := make([][3]int64, 2)
	for i := range 4 * model.BlockSeconds / resolution {
		slot := t0 + int64(i)*resolution
		node := r.IntN(nodes)
		if r.IntN(8) == 0 {
			continue // nobody was there
		}
		for uid := range 2 {
			if r.IntN(3) == 0 {
				continue
			}
			for n, name := range names {
				if r.IntN(40) == 0 {
					starts[uid][n] = slot - r.Int64N(100) // a restart
				}
				if r.IntN(10) == 0 {
					continue
				}
				s := model.Sample{Name: name, Start: starts[uid][n]}
				for _, m := range metrics {
					x := r.Uint64N(1 << (1 + r.IntN(40)))
					if huge && r.IntN(20) == 0 {
						x = ^x
					}
					if r.IntN(4) > 0 {
						s.Set(m, x)
					}
				}
				samples = append(samples, stored{node, uid, slot, s})
			}
		}
	}
	return nodes, samples
}

// code makes the chunks of one node, as a ring yields them.
func code(t *testing.T, node int, samples []stored) (chunks [][]byte) {
	t.Helper()
	type slotOf struct {
		uid  int
		slot int64
	}
	bySlot := map[slotOf][]model.Sample{}
	for _, s := range samples {
		if s.node == node {
			bySlot[slotOf{s.uid, s.slot}] = append(bySlot[slotOf{s.uid, s.slot}], s.Sample)
		}
	}
	for block := int64(t0); block < t0+4*model.BlockSeconds; block += model.BlockSeconds {
		for uid := range 2 {
			b := chunk.NewBuilder(chunk.Header{
				Pod:   model.PodRef{Namespace: "shop", Name: "cart", UID: fmt.Sprint(uid)},
				Block: block, Resolution: resolution * time.Second,
			})
			for slot := block; slot < block+model.BlockSeconds; slot += resolution {
				if row := bySlot[slotOf{uid, slot}]; len(row) > 0 {
					if err := b.Append(slot, row); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, _, ok := b.Last(); ok {
				chunks = append(chunks, b.AppendChunk(nil))
			}
		}
	}
	return chunks
}

// expect is what a query shows of the samples, done the plain way.
func expect(q *model.Query, nodes int, samples []stored) table {
	want := table{}
	for bin, values := range bins(q, nodes, samples) {
		how := q.Agg.Of(bin.metric)
		sum := new(big.Int)
		for _, v := range values {
			sum.Add(sum, new(big.Int).SetUint64(v))
		}
		switch n := int64(len(values)); how {
		case model.Mean:
			sum.Add(sum.Mul(sum, big.NewInt(2)), big.NewInt(n))
			want[bin] = sum.Div(sum, big.NewInt(2*n)).Uint64()
		case model.Max:
			want[bin] = slices.Max(values)
		case model.Min:
			want[bin] = slices.Min(values)
		default:
			want[bin] = values[n-1]
		}
	}
	return want
}

// bins gathers the values of each step, by time.
func bins(q *model.Query, nodes int, samples []stored) map[key][]uint64 {
	type slotOf struct {
		node int
		name string
		slot int64
	}
	counts := map[slotOf]*stored{}
	for i := range samples {
		s := &samples[i]
		s.Keep(cmp.Or(q.Metrics, model.AllMetrics))
		at := slotOf{s.node, s.Name, s.slot}
		if had := counts[at]; s.Present() != 0 && (had == nil || had.Start <= s.Start) {
			counts[at] = s
		}
	}
	all := map[key][]uint64{}
	for slot := q.From + mod(-q.From, resolution); slot <= q.To; slot += resolution {
		for node := range nodes {
			for _, name := range []string{"", "app", "envoy"} {
				s := counts[slotOf{node, name, slot}]
				if s == nil || (q.Container != "" && q.Container != name) {
					continue
				}
				for m := range model.NumMetrics {
					if x, ok := s.Get(m); ok {
						k := key{name, slot - mod(slot, q.Step), m}
						all[k] = append(all[k], x)
					}
				}
			}
		}
	}
	return all
}

// merge puts together what the nodes sent, as an aggregator does.
func merge(t *testing.T, q *model.Query, metrics []model.Metric, answers []*sent) table {
	t.Helper()
	all := map[string]*Bins{}
	of := func(name string) *Bins {
		if all[name] == nil {
			all[name] = new(Bins)
			all[name].Reset(name, q.Step, q.Agg, metrics)
		}
		return all[name]
	}
	for _, a := range answers {
		slots := map[string]*Series{}
		for _, b := range a.chunks {
			for row := range rows(t, b) {
				if slots[row.Name] == nil {
					slots[row.Name] = new(Series)
					slots[row.Name].Reset(row.Name, metrics)
				}
				slots[row.Name].Add(row.Slot, row.Start, &row.Values)
			}
		}
		for name, s := range slots {
			s.Finish()
			of(name).AddSeries(s)
		}
		for _, b := range a.binned {
			c, err := chunk.Parse(b[0])
			if err != nil {
				t.Fatal(err)
			}
			var d Binned
			for d.Reset(c, b[1]); d.Next(); {
				row, weights := d.Row()
				if err := of(row.Name).AddPart(row, weights); err != nil {
					t.Fatal(err)
				}
			}
			if d.Err() != nil {
				t.Fatal(d.Err())
			}
		}
	}
	got := table{}
	for name, b := range all {
		var s Series
		b.Points(&s)
		for i := range s.Points() {
			p := &s.Points()[i]
			for col, v := range s.Values(p) {
				if p.Has&(1<<col) != 0 {
					got[key{name, p.Slot, metrics[col]}] = v
				}
			}
		}
	}
	return got
}

// rows yields the rows of a chunk.
func rows(t testing.TB, b []byte) func(func(*chunk.Row) bool) {
	t.Helper()
	c, err := chunk.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(*chunk.Row) bool) {
		var d chunk.Decoder
		for d.Reset(c); d.Next(); {
			if !yield(d.Row()) {
				return
			}
		}
		if d.Err() != nil {
			t.Fatal(d.Err())
		}
	}
}

// Whatever the history and the query: steps that were put together from what
// several nodes sent are those of all their slots.
func TestStepsAreExact(t *testing.T) {
	binned, plain := 0, 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		nodes, samples := randomHistory(r)
		q := model.Query{
			Pods: true, Namespace: "shop", Pod: "cart",
			Step: []int64{15, 60, 105, 300, 900, 1200, 2700, 86400}[r.IntN(8)],
			Agg:  []model.Aggregate{model.Mean, model.Max, model.Min, model.Last}[r.IntN(4)],
			From: t0 - 900 + r.Int64N(3600), Container: []string{"", "", "app", "nobody"}[r.IntN(4)],
			Metrics: []model.Metrics{0, model.MetricsOf(model.CPU), model.MetricsOf(model.WorkingSet, model.CPUTotal)}[r.IntN(3)],
		}
		q.From -= mod(q.From, q.Step)
		q.To = q.From + r.Int64N(3600)
		if q.Step > 3600 {
			q.To = t0 + r.Int64N(3600)
		}
		var answers []*sent
		for node := range nodes {
			a := narrow(t, q, code(t, node, samples)...)
			answers = append(answers, a)
			binned, plain = binned+len(a.binned), plain+len(a.chunks)
		}
		var metrics []model.Metric
		for m := range model.NumMetrics {
			if q.Metrics == 0 || q.Metrics.Has(m) {
				metrics = append(metrics, m)
			}
		}
		got, want := merge(t, &q, metrics, answers), expect(&q, nodes, samples)
		if !maps.Equal(got, want) {
			t.Fatalf("seed %d: %+v\n%d values, want %d\n%v\nwant\n%v", seed, q, len(got), len(want), got, want)
		}
	}
	if binned < 300 || plain < 50 {
		t.Errorf("only %d binned chunks, %d others: this tests too little", binned, plain)
	}
}

// Without steps what is left is what picking rows by hand leaves.
func TestNarrowIsFiltering(t *testing.T) {
	type row struct {
		uid    string
		entity int64
		key
		value uint64
	}
	list := func(q *model.Query, b []byte) (all []row, own int) {
		c, err := chunk.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		var picked []row
		for r := range rows(t, b) {
			if r.Slot < q.From || r.Slot > q.To || (q.Container != "" && q.Container != r.Name) {
				continue
			}
			for m := range model.NumMetrics {
				if x, ok := r.Get(m); ok && (q.Metrics == 0 || q.Metrics.Has(m)) {
					picked = append(picked, row{c.Pod.UID, r.Start, key{r.Name, r.Slot, m}, x})
					if r.Name == "" {
						own++
					}
				}
			}
		}
		return picked, own
	}
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		_, samples := randomHistory(r)
		q := model.Query{
			Pods: true, NoOwn: r.IntN(2) == 0, From: t0 - 900 + r.Int64N(3600), Container: []string{"", "", "app", "nobody"}[r.IntN(4)],
			Metrics: []model.Metrics{0, model.AllMetrics, model.MetricsOf(model.CPU), model.MetricsOf(model.WorkingSet, model.Usage)}[r.IntN(4)],
		}
		q.To = q.From + r.Int64N(3600)
		chunks := code(t, 0, samples)
		var want, got []row
		for _, b := range chunks {
			rows, own := list(&q, b)
			if q.NoOwn && own < len(rows) {
				rows = slices.DeleteFunc(rows, func(r row) bool { return r.name == "" })
			}
			want = append(want, rows...)
		}
		everything := model.Query{From: t0 - 1<<40, To: t0 + 1<<40}
		for _, b := range narrow(t, q, chunks...).chunks {
			rows, _ := list(&everything, b)
			got = append(got, rows...)
		}
		for _, all := range [][]row{got, want} { // which row of a slot comes first does not matter
			slices.SortFunc(all, func(a, b row) int {
				return cmp.Or(cmp.Compare(a.uid, b.uid), cmp.Compare(a.slot, b.slot), cmp.Compare(a.name, b.name), cmp.Compare(a.entity, b.entity), cmp.Compare(a.metric, b.metric))
			})
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %+v\n%v\nwant\n%v", seed, q, got, want)
		}
	}
}

// small makes a chunk with one row per slot and name.
func small(t testing.TB, ref model.PodRef, from, n int, names ...string) []byte {
	t.Helper()
	b := chunk.NewBuilder(chunk.Header{Pod: ref, Block: model.BlockOf(t0 + int64(from)*resolution), Resolution: resolution * time.Second})
	for i := from; i < from+n; i++ {
		var samples []model.Sample
		for _, name := range names {
			s := model.Sample{Name: name, Start: t0}
			s.Set(model.CPU, uint64(i))
			samples = append(samples, s)
		}
		if err := b.Append(t0+int64(i)*resolution, samples); err != nil {
			t.Fatal(err)
		}
	}
	return b.AppendChunk(nil)
}

var cart = model.PodRef{Namespace: "shop", Name: "cart", UID: "1"}

// A clock that jumped back makes two blocks of the same time, each with all
// pods: of two samples of one slot the younger's counts, or the later one.
func TestStepsOfTwoBlocksOfOneTime(t *testing.T) {
	web := model.PodRef{Namespace: "shop", Name: "web", UID: "2"}
	first, second := small(t, cart, 0, 4, "app"), small(t, web, 0, 4, "app")
	third, fourth := small(t, cart, 2, 4, "app"), small(t, web, 4, 2, "app")
	q := model.Query{Pods: true, From: t0, To: t0 + 899, Step: 900, Agg: model.Mean}
	out := narrow(t, q, first, second, third, fourth)
	if len(out.binned) != 2 {
		t.Fatalf("%d binned chunks", len(out.binned))
	}
	for _, b := range out.binned {
		for row := range rows(t, b[0]) {
			if sum, _ := row.Get(model.CPU); sum != 0+1+2+3+4+5 {
				t.Errorf("sum %d", sum)
			}
		}
		for row := range rows(t, b[1]) {
			if n, _ := row.Get(model.CPU); n != 6 {
				t.Errorf("%d values", n)
			}
		}
	}
}

// What is asked for in full is handed on as it is stored.
func TestNarrowLeavesAsStored(t *testing.T) {
	b := small(t, cart, 0, 60, "", "app")
	for name, c := range map[string]struct {
		q    model.Query
		same bool
	}{
		"all":         {model.Query{Pods: true, From: t0, To: t0 + 899}, true},
		"all metrics": {model.Query{Pods: true, From: t0, To: t0 + 899, Metrics: model.AllMetrics}, true},
		"from later":  {model.Query{Pods: true, From: t0 + 1, To: t0 + 899}, false},
		"to earlier":  {model.Query{Pods: true, From: t0, To: t0 + 880}, false},
		"one metric":  {model.Query{Pods: true, From: t0, To: t0 + 899, Metrics: model.MetricsOf(model.CPU)}, false},
	} {
		stored := slices.Clone(b)
		stored = append(stored[:len(stored):len(stored)], 0xff) // unreadable, if it is read
		out := new(sent)
		err := NewNarrower(c.q, out).Add(stored)
		if len(out.chunks) != 1 || bytes.Equal(out.chunks[0], stored) != c.same || (err == nil) != c.same {
			t.Errorf("%s: %d chunks, %v", name, len(out.chunks), err)
		}
	}
}

// Whether there is a container can be told from what is sent, also if nothing
// of it is wanted.
func TestNarrowTraces(t *testing.T) {
	both := [][]byte{small(t, cart, 0, 4, "", "app"), small(t, cart, 60, 4, "", "app", "envoy")}
	cases := map[string]struct {
		chunks    [][]byte
		container string
		metrics   model.Metrics
		from, to  int
		sent      int    // chunks
		names     string // of the rows
	}{
		"in the window":     {both, "envoy", 0, 60, 61, 1, "envoy envoy "},
		"beside the window": {both, "envoy", 0, 0, 2, 1, "envoy "},
		"without metrics":   {both, "app", model.MetricsOf(model.RSS), 0, 100, 1, "app "},
		"nowhere":           {both, "nobody", 0, 0, 100, 1, ""},
		"no chunks":         {nil, "app", 0, 0, 100, 0, ""},
		"nobody asks":       {both, "", model.MetricsOf(model.RSS), 0, 100, 0, ""},
	}
	for name, c := range cases {
		for _, step := range []int64{0, 15} {
			q := model.Query{Pods: true, Container: c.container, Metrics: c.metrics, From: t0 + int64(c.from)*15, To: t0 + int64(c.to)*15, Step: step, Agg: model.Max}
			out := narrow(t, q, c.chunks...)
			for _, b := range out.binned {
				out.chunks = append(out.chunks, b[0])
			}
			names := ""
			for _, b := range out.chunks {
				for row := range rows(t, b) {
					names += row.Name + " "
				}
			}
			if len(out.chunks) != c.sent || names != c.names {
				t.Errorf("%s, step %d: %d chunks with %q", name, step, len(out.chunks), names)
			}
		}
	}
}

// A chunk that is damaged costs what cannot be read of it.
func TestNarrowDamaged(t *testing.T) {
	other := cart
	other.Name = "web"
	cut := small(t, cart, 0, 8, "", "app")
	cut = cut[:len(cut)-1]
	for _, step := range []int64{0, 15} {
		out := new(sent)
		n := NewNarrower(model.Query{Pods: true, From: t0, To: t0 + 890, Step: step, Agg: model.Max}, out)
		var errs []error
		for _, b := range [][]byte{cut, {0xff}, small(t, other, 0, 8, "", "app"), small(t, cart, 60, 1, "")} {
			errs = append(errs, n.Add(b))
		}
		errs = append(errs, n.End())
		if err := errors.Join(errs...); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("step %d: error %v", step, err)
		}
		total := 0
		for _, b := range out.binned {
			out.chunks = append(out.chunks, b[0])
		}
		for _, b := range out.chunks {
			for range rows(t, b) {
				total++
			}
		}
		if total != 15+16 {
			t.Errorf("step %d: %d rows", step, total)
		}
	}
}

// When what is handed on is not taken, that is the error.
func TestNarrowOutFails(t *testing.T) {
	gone := errors.New("gone")
	for _, q := range []model.Query{
		{From: t0, To: t0 + 2000}, {From: t0 + 1, To: t0 + 2000}, {From: t0, To: t0 + 2000, Step: 60, Agg: model.Mean},
	} {
		n := NewNarrower(q, &sent{err: gone})
		err := n.Add(small(t, model.PodRef{}, 0, 8, ""))
		if err := errors.Join(err, n.Add(small(t, model.PodRef{}, 60, 8, "")), n.End()); !errors.Is(err, gone) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
