package sampler

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeKubelet answers with what answer says, after delay.
type fakeKubelet struct {
	delay  time.Duration
	answer func(form kubelet.Form) ([]model.Group, error)
	asked  []time.Time
	forms  []kubelet.Form
}

func (*fakeKubelet) Reuse([]byte) {}

func (f *fakeKubelet) Fetch(ctx context.Context, form kubelet.Form) (kubelet.Answer, error) {
	f.asked, f.forms = append(f.asked, time.Now()), append(f.forms, form)
	select {
	case <-time.After(f.delay):
	case <-ctx.Done():
		kind := kubelet.Timeout
		if errors.Is(ctx.Err(), context.Canceled) {
			kind = kubelet.Canceled
		}
		return kubelet.Answer{Form: form}, &kubelet.Error{Kind: kind, Err: ctx.Err()}
	}
	groups, err := f.answer(form)
	return kubelet.Answer{Form: form, Status: 200, Scrape: model.Scrape{Groups: groups}}, err
}

// fakeRing keeps what it is given.
type fakeRing struct {
	slots  []int64
	last   model.Scrape
	missed map[int64]string
	err    error
}

func (f *fakeRing) Append(slot int64, s *model.Scrape) error {
	f.slots, f.last = append(f.slots, slot), *s
	return f.err
}
func (f *fakeRing) Miss(slot int64, why string) { f.missed[slot] = why }
func (f *fakeRing) Empty() bool                 { return len(f.slots) == 0 }

func (f *fakeRing) Chunks(_ context.Context, q model.Query) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if len(f.slots) == 0 || q.Pods {
			return
		}
		slot := f.slots[len(f.slots)-1]
		b := chunk.NewBuilder(chunk.Header{Block: model.BlockOf(slot), Resolution: 15 * time.Second})
		err := b.Append(slot, f.last.Groups[0].Samples)
		yield(b.AppendChunk(nil), err)
	}
}

func (f *fakeRing) Latest() (int64, model.Scrape, bool) {
	if len(f.slots) == 0 {
		return 0, model.Scrape{}, false
	}
	return f.slots[len(f.slots)-1], f.last, true
}

// now is a sample that was measured this moment.
func now() []model.Group { return group(time.Now().Unix(), 5e6, 1e9) }

func group(measured int64, cpu, total uint64) []model.Group {
	s := model.Sample{Start: 1000}
	s.Set(model.Measured, uint64(measured))
	s.Set(model.CPU, cpu)
	s.Set(model.CPUTotal, total)
	return []model.Group{{Samples: []model.Sample{s}}}
}

func good(kubelet.Form) ([]model.Group, error) { return now(), nil }

func newTest(k *fakeKubelet, r *fakeRing, log *slog.Logger) *Sampler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if r.missed == nil {
		r.missed = map[int64]string{}
	}
	return New(Config{Node: "node-1", Resolution: 15 * time.Second}, k, r, log, prometheus.NewRegistry())
}

// runFor runs the sampler for so long.
func runFor(t *testing.T, s *Sampler, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	s.Run(ctx)
}

func TestRunSamplesEverySlotOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, r := &fakeKubelet{answer: good}, &fakeRing{}
		s := newTest(k, r, nil)
		runFor(t, s, 10*time.Minute)
		if n := len(r.slots); n < 40 || n > 41 {
			t.Fatalf("%d slots in ten minutes", n)
		}
		phase := Phase("node-1", 15*time.Second)
		for i, slot := range r.slots[1:] {
			if slot != r.slots[i]+15 {
				t.Errorf("slot %d after %d", slot, r.slots[i])
			}
			if got := k.asked[i+1].Sub(time.Unix(slot, 0)); got != phase {
				t.Errorf("slot %d was asked at phase %v, want %v", slot, got, phase)
			}
		}
		full := 0
		for _, f := range k.forms {
			if f == kubelet.Full {
				full++
			}
		}
		if k.forms[0] != kubelet.Full || full < 10 || full > 12 {
			t.Errorf("%d of %d were full: %v", full, len(k.forms), k.forms)
		}
	})
}

func TestPhaseIsSpreadOverTheFirstHalf(t *testing.T) {
	var buckets [10]int
	for i := range 5000 {
		p := Phase(strings.Repeat("n", i%50)+string(rune('a'+i%26))+strings.Repeat("x", i/50), 15*time.Second)
		if p < 0 || p >= 7500*time.Millisecond {
			t.Fatalf("phase %v", p)
		}
		buckets[p/(750*time.Millisecond)]++
	}
	for i, n := range buckets {
		if n < 250 {
			t.Errorf("only %d of 5000 nodes in tenth %d: %v", n, i, buckets)
		}
	}
}

// A kubelet that hangs costs its slots and nothing else, and is asked again.
func TestRunGoesOnAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines strings.Builder
		k, r := &fakeKubelet{answer: good, delay: time.Hour}, &fakeRing{}
		s := newTest(k, r, slog.New(slog.NewTextHandler(&lines, nil)))
		runFor(t, s, 5*time.Minute)
		if s.Ready() == nil || len(r.missed) < 18 || len(r.slots) != 0 {
			t.Errorf("ready %v, %d missed, %d stored", s.Ready(), len(r.missed), len(r.slots))
		}
		k.delay = 0
		runFor(t, s, time.Minute)
		if s.Ready() != nil || len(r.slots) < 3 {
			t.Errorf("after recovery: ready %v, %d stored", s.Ready(), len(r.slots))
		}
		if n := strings.Count(lines.String(), "\n"); n != 2 {
			t.Errorf("%d log lines, want one for the failure and one for the recovery:\n%s", n, &lines)
		}
	})
}

func TestFallsBackToLight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, r := &fakeKubelet{}, &fakeRing{}
		k.answer = func(form kubelet.Form) ([]model.Group, error) {
			if form == kubelet.Full {
				return nil, &kubelet.Error{Kind: kubelet.Failed, Status: 500, Err: errors.New("failed to get imageFs stats")}
			}
			return now(), nil
		}
		s := newTest(k, r, nil)
		slot := model.SlotOf(time.Now(), 15*time.Second)
		if err := s.Sample(t.Context(), slot); err != nil {
			t.Fatal(err)
		}
		if len(r.slots) != 1 || len(k.forms) != 2 {
			t.Fatalf("%d stored after forms %v", len(r.slots), k.forms)
		}
		if err := s.Status().Err; err == nil || !strings.Contains(err.Error(), "imageFs") {
			t.Errorf("status says %v", err)
		}
	})
}

func TestOtherFailuresDoNotAskTwice(t *testing.T) {
	for _, kind := range []kubelet.Kind{kubelet.Unauthorized, kubelet.Forbidden, kubelet.Malformed, kubelet.Truncated, kubelet.TooLarge, kubelet.Unreachable, kubelet.Timeout} {
		k, r := &fakeKubelet{}, &fakeRing{}
		k.answer = func(kubelet.Form) ([]model.Group, error) {
			return nil, &kubelet.Error{Kind: kind, Err: errors.New("no")}
		}
		s := newTest(k, r, nil)
		if err := s.Sample(t.Context(), 1500); err == nil || len(k.forms) != 1 || r.missed[1500] == "" {
			t.Errorf("%v: error %v, %d requests, missed %v", kind, err, len(k.forms), r.missed)
		}
	}
}

func TestStoppingIsNoFailure(t *testing.T) {
	k, r := &fakeKubelet{answer: good, delay: time.Hour}, &fakeRing{}
	s := newTest(k, r, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Sample(ctx, 1500); !errors.Is(err, context.Canceled) || len(r.missed) != 0 || s.Status().Err != nil {
		t.Errorf("error %v, missed %v, status %v", err, r.missed, s.Status().Err)
	}
}

// A kubelet that answers, but has stopped measuring, is said to be failing.
func TestOldAnswersAreAFailure(t *testing.T) {
	k := &fakeKubelet{answer: func(kubelet.Form) ([]model.Group, error) { return group(1000, 1, 1), nil }}
	r := &fakeRing{}
	s := newTest(k, r, nil)
	err := s.Sample(t.Context(), 1500)
	if err == nil || s.Status().Err == nil || s.Ready() == nil || r.missed[1500] == "" || len(r.slots) != 0 {
		t.Errorf("error %v, status %v, ready %v, missed %v", err, s.Status().Err, s.Ready(), r.missed)
	}
}

// The full form is asked for every fourth slot, also if it never works.
func TestBrokenFullFormIsAskedSeldom(t *testing.T) {
	k, r := &fakeKubelet{}, &fakeRing{}
	k.answer = func(form kubelet.Form) ([]model.Group, error) {
		if form == kubelet.Full {
			return nil, &kubelet.Error{Kind: kubelet.Failed, Status: 500, Err: errors.New("no")}
		}
		return group(1500, 1, 1), nil
	}
	s := newTest(k, r, nil)
	for slot := int64(1500); slot < 1500+8*15; slot += 15 {
		if err := s.Sample(t.Context(), slot); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.forms) != 8+2 {
		t.Errorf("%d requests in 8 slots: %v", len(k.forms), k.forms)
	}
}

func TestSaysWhatWasNotStored(t *testing.T) {
	k, r := &fakeKubelet{answer: func(kubelet.Form) ([]model.Group, error) { return group(1500, 1, 1), nil }}, &fakeRing{err: errors.New("disk full")}
	if err := newTest(k, r, nil).Sample(t.Context(), 1500); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v", err)
	}
}

func TestCleaning(t *testing.T) {
	type step struct {
		slot, measured int64
		cpu, total     uint64
		start          int64
		wantCPU        bool // present
		wantSample     bool
	}
	cases := map[string][]step{
		"an idle container":             {{3000, 2990, 0, 1e9, 1000, true, true}, {3015, 3005, 0, 1e9 + 7e6, 1000, true, true}},
		"0 while the counter moved":     {{3000, 2990, 0, 1e9, 1000, true, true}, {3015, 3005, 0, 1e9 + 15e6, 1000, false, true}, {3030, 3005, 0, 1e9 + 15e6, 1000, false, true}, {3045, 3035, 0, 1e9 + 15e6, 1000, true, true}},
		"first answer of a new one":     {{3000, 2995, 0, 2e9, 2990, false, true}},
		"first answer of an old one":    {{3000, 2995, 0, 2e9, 1000, true, true}},
		"counter reset":                 {{3000, 2990, 5, 1e9, 1000, true, true}, {3015, 3005, 0, 4e6, 1000, true, true}},
		"a new start is another entity": {{3000, 2990, 5, 1e9, 1000, true, true}, {3015, 3005, 0, 1e9, 3004, false, true}},
		"nothing for a slot":            {{3000, 2990, 9, 1e9, 1000, true, true}, {3030, 3020, 0, 2e9, 1000, false, true}},
		"minutes old":                   {{3000, 2879, 5, 1e9, 1000, true, false}},
		"just not too old":              {{3000, 2880, 5, 1e9, 1000, true, true}},
		"measured in the future":        {{3000, 3136, 5, 1e9, 1000, true, false}},
		"not too far in it":             {{3000, 3135, 5, 1e9, 1000, true, true}},
		"one before the last":           {{3000, 2990, 5, 1e9, 1000, true, true}, {3015, 2980, 0, 9e8, 1000, true, true}},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCleaner(Config{Resolution: 15 * time.Second})
			for _, st := range steps {
				s := model.Scrape{Groups: group(st.measured, st.cpu, st.total)}
				s.Groups[0].Samples[0].Start = st.start
				c.clean(st.slot, kubelet.Full, &s)
				if got := len(s.Groups) == 1; got != st.wantSample {
					t.Fatalf("slot %d: sample kept: %v", st.slot, got)
				}
				if st.wantSample && s.Groups[0].Samples[0].Has(model.CPU) != st.wantCPU {
					t.Errorf("slot %d: cpu present: %v", st.slot, !st.wantCPU)
				}
			}
		})
	}
}

// The rate's window is the time between two measurements if the kubelet's own
// rate is of that time, and the mean by the counter where it is not.
func TestWindows(t *testing.T) {
	const start = 1000
	type step struct {
		measured, cpu, total int64 // cpu −1: absent
		start                int64
		window, mean         int64 // −1: absent
	}
	cases := map[string][]step{
		"the kubelet's rate tells the milliseconds": {
			{2990, 100e6, 50e9, start, -1, -1}, {3005, 100e6, 50e9 + 1.5432e9, start, 15432, -1}},
		"an idle one": {{2990, 0, 1e9, start, -1, -1}, {3005, 0, 1e9, start, 15000, -1}},
		"the kubelet measured in between": {
			{2990, 100e6, 50e9, start, -1, -1}, {3015, 300e6, 50e9 + 5e9, start, 25000, 200e6}},
		"0 while the counter moved": {
			{2990, 0, 1e9, start, -1, -1}, {3005, 0, 1e9 + 15e7, start, 15000, 1e7}},
		"no rate": {{2990, -1, 1e9, start, -1, -1}, {3005, -1, 1e9 + 15e7, start, 15000, 1e7}},
		"the same measurement again": {
			{2990, 100e6, 50e9, start, -1, -1}, {3005, 100e6, 50e9 + 1.5e9, start, 15000, -1}, {3005, 100e6, 50e9 + 1.5e9, start, 15000, -1}},
		"after minutes the kubelet's rate is newer": {
			{2990, 100e6, 50e9, start, -1, -1}, {3090, 300e6, 51e9, start, -1, -1}},
		"after minutes without a rate": {
			{2990, 100e6, 50e9, start, -1, -1}, {3090, 0, 51e9, start, 100000, 1e7}},
		"the counter began anew": {
			{2990, 100e6, 50e9, start, -1, -1}, {3005, 100e6, 1e9, start, -1, -1}, {3020, 100e6, 2.5e9, start, 15000, -1}},
		"the counter began anew, and the rate is 0": {
			{2990, 100e6, 50e9, start, -1, -1}, {3005, 0, 1e9, start, -1, -1}},
		"the clock was set back":          {{2990, 100e6, 50e9, start, -1, -1}, {2980, 100e6, 51e9, start, -1, -1}},
		"first seen, long started":        {{3005, 100e6, 50e9, start, -1, -1}},
		"9 s old":                         {{3009, 0, 9e8, 3000, -1, -1}},
		"after an outage, without a rate": {{2000, 100e6, 50e9, start, -1, -1}, {2900, 0, 59e9, start, -1, -1}},
		"10 s old":                        {{3010, 0, 1e9, 3000, 10000, 1e8}},
		"14 s old":                        {{3014, 0, 14e8, 3000, 14000, 1e8}},
		"15 s old, with a rate":           {{3015, 1e8, 15e8, 3000, 15000, -1}},
		"16 s old":                        {{3016, 2e8, 16e8, 3000, 16000, 1e8}},
		"started in the future":           {{3016, 2e8, 16e8, 3020, -1, -1}},
		"start not known":                 {{3016, 2e8, 16e8, 0, -1, -1}, {3031, 2e8, 46e8, 0, 15000, -1}},
		"restarted since":                 {{2990, 1e8, 50e9, start, -1, -1}, {3016, 0, 16e8, 3000, 16000, 1e8}},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCleaner(Config{Resolution: 15 * time.Second})
			for i, st := range steps {
				s := model.Scrape{Groups: group(st.measured, uint64(st.cpu), uint64(st.total))}
				v := &s.Groups[0].Samples[0]
				v.Start = st.start
				if st.cpu < 0 {
					v.Unset(model.CPU)
				}
				c.clean(st.measured+5, kubelet.Full, &s)
				for m, want := range map[model.Metric]int64{model.CPUWindow: st.window, model.CPUMean: st.mean} {
					got, ok := v.Get(m)
					if !ok {
						got = math.MaxUint64
					}
					if int64(got) != want {
						t.Errorf("step %d: %v %d, want %d", i, m, int64(got), want)
					}
				}
			}
		})
	}
}

// After a restart of the agent the ring's last slot is what it compares with.
func TestGoesOnFromTheRing(t *testing.T) {
	r := &fakeRing{slots: []int64{2985}, last: model.Scrape{Groups: group(2980, 7e6, 1e9)}}
	k := &fakeKubelet{answer: func(kubelet.Form) ([]model.Group, error) { return group(2995, 0, 1e9+15e6), nil }}
	if err := newTest(k, r, nil).Sample(t.Context(), 3000); err != nil {
		t.Fatal(err)
	}
	if r.last.Groups[0].Samples[0].Has(model.CPU) {
		t.Error("a cpu of 0 that the ring's last slot contradicts was believed")
	}
}

// The light form reports another start for the node; it is no restart.
func TestNodeStartOfLightAnswers(t *testing.T) {
	c := newCleaner(Config{Resolution: 15 * time.Second})
	for i, form := range []kubelet.Form{kubelet.Full, kubelet.Light, kubelet.Light} {
		s := model.Scrape{Groups: group(3000, 1, 1)}
		s.Groups[0].Samples[0].Start = 1000 + 2*int64(form)
		want := int64(1000 + 2*int64(kubelet.Full))
		if c.clean(3000, form, &s); s.Groups[0].Samples[0].Start != want {
			t.Errorf("answer %d: start %d, want %d", i, s.Groups[0].Samples[0].Start, want)
		}
	}
}

func TestNamespaces(t *testing.T) {
	c := newCleaner(Config{Resolution: 15 * time.Second, Namespaces: []string{"shop"}})
	s := model.Scrape{Groups: group(3000, 1, 1)}
	for _, ns := range []string{"batch", "shop"} {
		g := group(3000, 1, 1)[0]
		g.Pod = model.PodRef{Namespace: ns, Name: "p", UID: "u"}
		s.Groups = append(s.Groups, g)
	}
	c.clean(3000, kubelet.Full, &s)
	if len(s.Groups) != 2 || s.Groups[1].Pod.Namespace != "shop" {
		t.Errorf("groups %+v", s.Groups)
	}
}
