package fullnode_test

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A track goes the same way wherever it begins and however often, with the
// times moved; its counters grow, and begin anew with a restart.
func TestTrack(t *testing.T) {
	r, err := fullnode.LoadRecording()
	if err != nil {
		t.Fatal(err)
	}
	const start, later = 1_795_230_000, 900 * 1000
	for i := range r.Pods() {
		containers := 1 + i%3
		a, b := r.PodTrack(i, containers, 5, start), r.PodTrack(i, containers, 5, start+later)
		var before [4]uint64
		for n := range int64(400) {
			slot := start + 15*(1+n)
			x, y := a.Next(slot), b.Next(slot+later)
			if n == 200 {
				b = b.Clone()
			}
			if len(x) != 1+containers || x[0].Name != "" {
				t.Fatalf("pod %d with %d containers has %d samples", i, containers, len(x))
			}
			for j := range x {
				y[j].Start -= later
				measured, _ := y[j].Get(model.Measured)
				y[j].Set(model.Measured, measured-later)
				if x[j] != y[j] {
					t.Fatalf("pod %d, slot %d:\n%+v\n%+v", i, n, x[j], y[j])
				}
				if total, _ := x[j].Get(model.CPUTotal); total < before[j] {
					t.Fatalf("pod %d, slot %d: %d after %d", i, n, total, before[j])
				} else {
					before[j] = total
				}
			}
		}
		a.Restart(0, start+7000)
		again := a.Next(start + 7005)
		if total, _ := again[1].Get(model.CPUTotal); again[1].Start != start+7000 || total >= before[1] || again[0].Start != start {
			t.Errorf("pod %d after a restart: %+v", i, again)
		}
	}
	one, two := r.NodeTrack(1, start), r.NodeTrack(2, start)
	if x, y := one.Next(start + 15)[0], two.Next(start + 15)[0]; x == y || x.Name != "" {
		t.Errorf("two nodes: %+v, %+v", x, y)
	}
}
