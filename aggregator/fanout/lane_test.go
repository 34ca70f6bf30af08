package fanout

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestLaneIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var probed []string
		asker := new(nodes)
		for _, n := range names(laneWidth * 3) {
			asker.set(n, hang())
		}
		l := newLane(time.Second, func(ctx context.Context, node string) error {
			_, err := asker.Ask(ctx, node, func(int) bool { return true })
			return err
		}, func(string, error, time.Duration) bool { return false })
		defer l.close()
		began := time.Now()
		done := make(chan string, laneWidth*3)
		for _, n := range names(laneWidth * 3) {
			l.add(n, func(bool) { done <- n })
		}
		for range cap(done) {
			probed = append(probed, <-done)
		}
		if took := time.Since(began); took != 3*time.Second || asker.highest != laneWidth || l.len() != 0 {
			t.Errorf("took %v, %d at a time, %d left", took, asker.highest, l.len())
		}
		// Nobody waits for those that came later.
		for i := range 3 {
			part := slices.Sorted(slices.Values(probed[i*laneWidth : (i+1)*laneWidth]))
			if want := names(laneWidth * 3)[i*laneWidth : (i+1)*laneWidth]; !slices.Equal(part, want) {
				t.Errorf("part %d: %q", i, part)
			}
		}
		// Without work there are no goroutines.
		synctest.Wait()
		if l.running != 0 {
			t.Errorf("%d are running", l.running)
		}
	})
}

func TestLaneCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(time.Hour, func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}, func(string, error, time.Duration) bool {
			t.Error("a probe that was broken off says something about its node")
			return true
		})
		const n = laneWidth + 10
		told := make(chan bool, n+1)
		for _, node := range names(n) {
			l.add(node, func(well bool) { told <- well })
		}
		l.close()
		l.add("late", func(well bool) { told <- well })
		for range n + 1 {
			if <-told {
				t.Error("a node is well")
			}
		}
		if l.running != 0 || l.len() != 0 {
			t.Errorf("%d are running, %d wait", l.running, l.len())
		}
	})
}

// A question that waits for probes goes on when the fan-out is closed.
func TestCloseWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRound(t, Config{}, "bad-1", "bad-2")
		for _, node := range r.all {
			r.nodes.set(node, func(context.Context, string) (answer, error) { return answer{}, io.EOF })
		}
		r.ask("bad-1", "bad-2")
		r.due()
		for _, node := range r.all {
			r.nodes.set(node, hang())
		}
		time.AfterFunc(100*time.Millisecond, r.f.Close)
		r.ask()
		if r.took != 100*time.Millisecond || len(r.missed) != 2 {
			t.Errorf("took %v, missing %v", r.took, r.missed)
		}
	})
}
