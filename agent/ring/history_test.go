package ring_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A write is one slot as it was appended.
type write struct {
	slot       int64
	resolution int64 // seconds
	scrape     *model.Scrape
}

// A history is what a ring was given, in the order in which it was: the plain
// model that a ring is compared with. A ring that does not lose anything holds
// the end of it.
type history struct {
	retention time.Duration
	writes    []write
}

// entity names one sample: of two with the same name the one written later counts.
type entity struct {
	slot  int64
	pod   model.PodRef
	name  string
	start int64
}

// version is a sample, and which write it came with.
type version struct {
	write  int
	values *model.Values
}

// everything asks for all there is, of the node or of pods.
func everything(pods bool) model.Query {
	return model.Query{Pods: pods, From: -1 << 45, To: 1 << 45}
}

func asksFor(q model.Query, pod model.PodRef) bool {
	if pod == (model.PodRef{}) {
		return !q.Pods
	}
	return q.Pods && (q.Namespace == "" || q.Namespace == pod.Namespace) && (q.Pod == "" || q.Pod == pod.Name)
}

// mustKeep is how many of the last writes may not have expired: less than the
// retention was measured after each of them.
func (h *history) mustKeep() int {
	n, measured := 0, int64(0)
	for n < len(h.writes) && measured < int64(h.retention/time.Second) {
		n++
		measured += h.writes[len(h.writes)-n].resolution
	}
	return n
}

// mayKeep is the most that may be there: the retention and a few blocks more:
// the one that reaches into the retention, those that wait to be deleted
// together with others (three), the open one, and one that is on its way.
func (h *history) mayKeep() int {
	n, measured := 0, int64(0)
	for n < len(h.writes) && measured < int64(h.retention/time.Second)+6*model.BlockSeconds {
		n++
		measured += h.writes[len(h.writes)-n].resolution
	}
	return n
}

// held is how many slots the status tells of.
func held(s *ring.Status) int {
	n := 0
	for _, b := range slices.Concat(s.Blocks, s.Waiting) {
		n += b.Slots
	}
	if s.Open != nil {
		n += s.Open.Slots
	}
	return n
}

// check compares what the ring answers with the history: what was written and
// is not expired is there, the later of two writes last; nothing else is there.
func (h *history) check(r *ring.Ring, q model.Query) error {
	before := r.Status()
	most := held(&before)
	got, err := answer(r, q)
	if err != nil {
		return err
	}
	after := r.Status() // what has expired meanwhile may be in the answer, or not
	least := held(&after)
	if least < min(h.mustKeep(), len(h.writes)) || most > h.mayKeep() {
		return fmt.Errorf("the ring has %d to %d of %d slots; %d are within the retention, %d may be there",
			least, most, len(h.writes), h.mustKeep(), h.mayKeep())
	}
	want := h.versions(q, most)
	for e, values := range got {
		versions := want[e]
		if len(versions) == 0 {
			return fmt.Errorf("%v is answered and was never written, or is expired", e)
		}
		inside := e.slot >= q.From && e.slot <= q.To
		if !inside { // chunks come whole; of other blocks there may be nothing
			if !slices.ContainsFunc(versions, func(v version) bool { return *v.values == values }) {
				return fmt.Errorf("%v is answered as %v, which was never written", e, values)
			}
		} else if last := versions[len(versions)-1]; *last.values != values {
			return fmt.Errorf("%v is answered as %v; written last was %v", e, values, *last.values)
		}
	}
	for e, versions := range want {
		last := versions[len(versions)-1]
		if _, ok := got[e]; !ok && e.slot >= q.From && e.slot <= q.To && last.write >= len(h.writes)-least {
			return fmt.Errorf("%v is not answered; it came with write %d of %d, %d are there", e, last.write, len(h.writes), least)
		}
	}
	return nil
}

// checkSalvaged checks less: of the slots that were acknowledged all that are
// within the retention are there, and nothing that was never written. Blocks
// that had been deleted may be back, without some of their chunks.
func (h *history) checkSalvaged(r *ring.Ring, acked int) error {
	kept := history{h.retention, h.writes[:acked:acked]}
	must := min(kept.mustKeep(), acked)
	s := r.Status()
	blocks := infos(&s)
	for i, slots := len(blocks)-1, 0; i >= 0; i-- {
		if blocks[i].Lost > 0 && slots < must {
			return fmt.Errorf("%d chunks are lost of block %+v, which is within the retention", blocks[i].Lost, blocks[i])
		}
		slots += blocks[i].Slots
	}
	for _, pods := range []bool{false, true} {
		got, err := answer(r, everything(pods))
		if err != nil && s.Lost == 0 {
			return err
		}
		all := h.versions(everything(pods), len(h.writes))
		for e, values := range got {
			if !slices.ContainsFunc(all[e], func(v version) bool { return *v.values == values }) {
				return fmt.Errorf("%v is answered as %v, which was never written", e, values)
			}
		}
		for e := range kept.versions(everything(pods), must) {
			if _, ok := got[e]; !ok {
				return fmt.Errorf("%v is not answered", e)
			}
		}
	}
	return nil
}

// versions lists the samples that match among the last n writes.
func (h *history) versions(q model.Query, n int) map[entity][]version {
	want := map[entity][]version{}
	for i := len(h.writes) - n; i < len(h.writes); i++ {
		w := &h.writes[i]
		for _, g := range w.scrape.Groups {
			if !asksFor(q, g.Pod) {
				continue
			}
			for j := range g.Samples {
				s := &g.Samples[j]
				e := entity{w.slot, g.Pod, s.Name, s.Start}
				want[e] = append(want[e], version{i, &s.Values})
			}
		}
	}
	return want
}

// answer reads what the ring answers, and checks its form: blocks by time,
// within a block pods by namespace, name and UID, and only what was asked for.
// With the ring's own error comes what it did answer.
func answer(r *ring.Ring, q model.Query) (map[entity]model.Values, error) {
	before := r.Status()
	got := map[entity]model.Values{}
	var last chunk.Header
	restarts := map[int64]int{} // by block: how often its pods begin anew
	first := true
	var d chunk.Decoder
	for b, err := range r.Chunks(context.Background(), q) {
		if err != nil {
			return got, fmt.Errorf("query %+v: %w", q, err)
		}
		c, err := chunk.Parse(b)
		if err != nil {
			return nil, err
		}
		switch {
		case !asksFor(q, c.Pod):
			return nil, fmt.Errorf("query %+v yields a chunk of %v", q, c.Pod)
		case first || c.Block > last.Block:
			restarts[c.Block] = 1
		case c.Block < last.Block:
			return nil, fmt.Errorf("block %d comes after block %d", c.Block, last.Block)
		case c.Pod.Compare(last.Pod) <= 0:
			restarts[c.Block]++
		}
		first, last = false, c.Header
		rows := 0
		for d.Reset(c); d.Next(); rows++ {
			row := d.Row()
			got[entity{row.Slot, c.Pod, row.Name, row.Start}] = row.Values
		}
		if d.Err() != nil {
			return nil, d.Err()
		}
		if rows == 0 {
			return nil, fmt.Errorf("a chunk of %v in block %d has no rows", c.Pod, c.Block)
		}
	}
	// A new order of pods means another block of the same time.
	for _, b := range infos(&before) {
		restarts[b.Start]--
	}
	for start, n := range restarts {
		if n > 0 {
			return nil, fmt.Errorf("block %d: its pods are not in order, or there are %d blocks of that time too many", start, n)
		}
	}
	return got, nil
}

// infos are all blocks of the status, in the order in which they were written.
func infos(s *ring.Status) []ring.BlockInfo {
	all := slices.Concat(s.Blocks, s.Waiting)
	if s.Open != nil {
		all = append(all, *s.Open)
	}
	return all
}

// checkLatest: the newest slot in memory is the last that was written.
func (h *history) checkLatest(r *ring.Ring) error {
	slot, scrape, ok := r.Latest()
	s := r.Status()
	if !ok {
		// A restart right after a block was closed finds none that is open.
		if s.Open != nil || !r.Empty() {
			return fmt.Errorf("no latest slot, but open is %+v", s.Open)
		}
		return nil
	}
	last := h.writes[len(h.writes)-1]
	if slot != last.slot || s.Open == nil || s.Open.Last != slot {
		return fmt.Errorf("latest slot is %d, that of the open block %+v; written last was %d", slot, s.Open, last.slot)
	}
	return sameScrape(&scrape, last.scrape)
}

// sameScrape compares without regard to order.
func sameScrape(got, want *model.Scrape) error {
	one := history{writes: []write{{scrape: want}}}
	all := one.versions(everything(true), 1)
	for e, v := range one.versions(everything(false), 1) {
		all[e] = v
	}
	if got.Entities() != len(all) {
		return fmt.Errorf("latest scrape has %d entities, written were %d", got.Entities(), len(all))
	}
	for _, g := range got.Groups {
		for _, s := range g.Samples {
			if v, ok := all[entity{0, g.Pod, s.Name, s.Start}]; !ok || *v[0].values != s.Values {
				return fmt.Errorf("latest scrape has %v %q as %v", g.Pod, s.Name, s.Values)
			}
		}
	}
	return nil
}

// checkKnows compares for every name that there may be in the namespace.
func (h *history) checkKnows(r *ring.Ring, namespace string) error {
	before := r.Status()
	may := h.names(held(&before))
	for _, pod := range append([]string{"", "none"}, podNames...) {
		known, err := r.Knows(namespace, pod)
		if err != nil {
			return fmt.Errorf("Knows(%q, %q): %w", namespace, pod, err)
		}
		after := r.Status()
		name, must := namespace+"/"+pod, h.names(held(&after))
		if (known && !may[name]) || (!known && must[name]) {
			return fmt.Errorf("Knows(%q, %q) = %v; in the history: %v", namespace, pod, known, must[name])
		}
	}
	return nil
}

// names are the pods, and the namespaces, of the last n writes.
func (h *history) names(n int) map[string]bool {
	names := map[string]bool{}
	for _, w := range h.writes[len(h.writes)-n:] {
		for _, g := range w.scrape.Groups {
			if g.Pod != (model.PodRef{}) {
				names[g.Pod.Namespace+"/"+g.Pod.Name] = true
				names[g.Pod.Namespace+"/"] = true
			}
		}
	}
	return names
}

// checkStatus compares what the status says of blocks with the history.
func (h *history) checkStatus(r *ring.Ring) error {
	s := r.Status()
	if s.State != "disk" || s.Error != "" || s.Unstored != 0 || len(s.Waiting) != 0 || r.Err() != nil {
		return fmt.Errorf("status %+v, Err %v", s, r.Err())
	}
	if len(s.SetAside) > 0 || s.Lost > 0 { // there is no damage in these tests
		return fmt.Errorf("the store was taken for damaged: %+v, %d chunks lost", s.SetAside, s.Lost)
	}
	rest := h.writes[len(h.writes)-min(held(&s), len(h.writes)):]
	oldest := false
	for _, b := range infos(&s) {
		if err := checkBlock(&b, rest); err != nil {
			return fmt.Errorf("block %+v: %w", b, err)
		}
		oldest = oldest || b.First == s.Oldest
		rest = rest[b.Slots:]
	}
	if len(rest) > 0 || (!oldest && len(h.writes) > 0) {
		return fmt.Errorf("%d slots are in no block; oldest %d", len(rest), s.Oldest)
	}
	if n := len(h.writes); n > 0 && s.Newest != h.writes[n-1].slot {
		return fmt.Errorf("newest is %d, written last was %d", s.Newest, h.writes[n-1].slot)
	}
	return nil
}

// checkBlock compares a block with the writes that begin with it: which slots
// have samples, and that a gap is told for each other.
func checkBlock(b *ring.BlockInfo, writes []write) error {
	if b.Slots < 1 || b.Slots > len(writes) {
		return fmt.Errorf("it has %d slots, %d are left", b.Slots, len(writes))
	}
	taken := map[int64]bool{}
	for _, w := range writes[:b.Slots] {
		if w.resolution != b.Resolution || model.BlockOf(w.slot) != b.Start {
			return fmt.Errorf("slot %d at %d s does not belong to it", w.slot, w.resolution)
		}
		taken[w.slot] = true
	}
	if len(taken) != b.Slots || b.First != writes[0].slot || b.Last != writes[b.Slots-1].slot {
		return fmt.Errorf("its slots should be %d from %d to %d", len(taken), writes[0].slot, writes[b.Slots-1].slot)
	}
	for _, g := range b.Gaps {
		for slot := g.From; slot <= g.To; slot += b.Resolution {
			if taken[slot] || strings.TrimSpace(g.Why) == "" {
				return fmt.Errorf("gap %+v: slot %d is taken, or nothing is said", g, slot)
			}
			taken[slot] = true
		}
	}
	for slot := b.Start; slot <= b.Last; slot += b.Resolution {
		if !taken[slot] {
			return fmt.Errorf("slot %d is neither there nor told as a gap", slot)
		}
	}
	return nil
}

// checkAll checks all that can be asked.
func (h *history) checkAll(r *ring.Ring) error {
	if err := h.checkStatus(r); err != nil {
		return err
	}
	for _, pods := range []bool{false, true} {
		if err := h.check(r, everything(pods)); err != nil {
			return err
		}
	}
	if len(h.writes) > 0 {
		if err := h.checkLatest(r); err != nil {
			return err
		}
	}
	return nil
}
