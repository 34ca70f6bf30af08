package layout

import (
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every layout reads back as many numbers as were stored, for each query.
func TestLayoutsAgree(t *testing.T) {
	rec, err := fullnode.LoadRecording()
	if err != nil {
		t.Fatal(err)
	}
	const begin, slots = 1795230000, 90 // a block and a half
	stores := map[string]Store{}
	for name := range Baselines() {
		if stores[name], err = Open(name, t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	if stores["ring"], err = OpenRing(ring.Config{Dir: t.TempDir(), Resolution: resolution, Retention: 24 * time.Hour}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	node, err := fullnode.New(rec, fullnode.Recorded, 1, begin)
	if err != nil {
		t.Fatal(err)
	}
	pod, container := node.Next(begin).Groups[1].Pod, node.Next(begin).Groups[1].Samples[1].Name
	queries := map[string]Query{
		"container": {Namespace: pod.Namespace, Pod: pod.Name, Container: container, From: begin + 20*15, To: begin + 79*15},
		"pod":       {Namespace: pod.Namespace, Pod: pod.Name, From: begin, To: begin + slots*15},
		"all":       {From: begin + 30*15, To: begin + 89*15},
	}
	want := map[string]int{}
	for i := range int64(slots) {
		slot := begin + i*15
		s := node.Next(slot)
		for name, q := range queries {
			want[name] += count(s, q, slot)
		}
		for name, st := range stores {
			if err := st.Append(slot, s); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	for name, st := range stores {
		for what, q := range queries {
			if got, err := st.Read(t.Context(), q); err != nil || got != want[what] {
				t.Errorf("%s, %s: %d numbers, %v, want %d", name, what, got, err, want[what])
			}
		}
		if err := st.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func count(s *model.Scrape, q Query, slot int64) (n int) {
	if slot < q.From || slot > q.To {
		return 0
	}
	for _, g := range s.Groups {
		if g.Pod == (model.PodRef{}) || q.Pod != "" && (g.Pod.Name != q.Pod || g.Pod.Namespace != q.Namespace) {
			continue
		}
		one := model.Scrape{Groups: []model.Group{{}}}
		for _, v := range g.Samples {
			if q.Container == "" || v.Name == q.Container {
				one.Groups[0].Samples = append(one.Groups[0].Samples, v)
			}
		}
		all, _ := fullnode.Numbers(&one)
		n += all
	}
	return n
}
