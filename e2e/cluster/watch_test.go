package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

const (
	// watchers ask at the same time, each every watchEvery.
	watchers   = 4
	watchEvery = 100 * time.Millisecond
)

// A watch asks for all nodes, steadily, while something is broken, and takes down
// what is wrong with the answers.
type watch struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	answers  int
	refused  int      // connections that nobody accepted; the question was asked again
	failed   []string // no answer, or none that can be read
	wrong    []string // answers that contradict others
	least    int      // nodes that answered, at worst
	missing  map[string]map[string]int
	took     []time.Duration
	values   map[value]point
	complete int
	// replaced allows each node one slot that was measured twice: an agent that has
	// lost its history with its pod measures at once, and cannot know that the one
	// before it has measured in the same slot.
	replaced bool
	twice    map[string]int64
}

type value struct {
	node string
	slot int64
}

// watch watches from a node's network until the watch is ended.
func (f *fleet) watch(from *cluster.Node) *watch { return f.begin(&watch{}, from) }

func (f *fleet) begin(w *watch, from *cluster.Node) *watch {
	ctx, stop := context.WithCancel(f.Context())
	w.stop, w.least = stop, 3
	w.values, w.missing, w.twice = map[value]point{}, map[string]map[string]int{}, map[string]int64{}
	for range watchers {
		w.done.Go(func() {
			t := time.NewTicker(watchEvery)
			defer t.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-t.C:
					w.once(ctx, f, from)
				}
			}
		})
	}
	f.Cleanup(w.end)
	return w
}

func (w *watch) end() {
	w.stop()
	w.done.Wait()
}

// once asks once. Where nobody accepts the connection, no aggregator has seen the
// question, and it is asked again, as any client may.
func (w *watch) once(ctx context.Context, f *fleet, from *cluster.Node) {
	began, refused := time.Now(), 0
	a, err := f.ask(ctx, from, "/node?window=1m")
	for ; errors.Is(err, syscall.ECONNREFUSED) && refused < 20; refused++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchEvery):
		}
		a, err = f.ask(ctx, from, "/node?window=1m")
	}
	took := time.Since(began)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused += refused
	if err != nil {
		w.failed = append(w.failed, fmt.Sprintf("%s after %v: %v", began.Format("15:04:05.000"), took, err))
		return
	}
	w.answers++
	w.took = append(w.took, took)
	w.least = min(w.least, a.Coverage.Answered)
	if a.Coverage.Complete {
		w.complete++
	}
	w.check(a)
}

// check compares an answer with those before: a slot's values never change, time
// goes forward, whoever has not answered is named, and coverage adds up.
func (w *watch) check(a answer) {
	bad := func(format string, args ...any) { w.wrong = append(w.wrong, fmt.Sprintf(format, args...)) }
	if c := a.Coverage; c.Expected != 3 || c.Answered+len(c.Missing) != 3 || c.Complete != (c.Answered == 3) {
		bad("coverage %+v", c)
	}
	for _, m := range a.Coverage.Missing {
		if w.missing[m.Node] == nil {
			w.missing[m.Node] = map[string]int{}
		}
		w.missing[m.Node][m.Outcome]++
	}
	for _, n := range a.Nodes {
		for i, p := range n.Metrics {
			if i > 0 && p.Timestamp <= n.Metrics[i-1].Timestamp || p.Timestamp%15 != 0 {
				bad("%s has slots %v", n.Name, n.Metrics)
			}
			key := value{n.Name, p.Timestamp}
			if before, known := w.values[key]; known && before != p && !w.again(key) {
				bad("%s was %+v and is %+v", n.Name, before, p)
			}
			w.values[key] = p
		}
	}
}

// again tells whether this may be the slot in which an agent was replaced.
func (w *watch) again(v value) bool {
	if _, other := w.twice[v.node]; w.replaced && !other {
		w.twice[v.node] = v.slot
	}
	return w.replaced && w.twice[v.node] == v.slot
}

// report ends the watch and tells of it; answers that are wrong fail the test.
func (w *watch) report(f *fleet, what string) {
	f.Helper()
	w.end()
	slices.Sort(w.took)
	at := func(share float64) time.Duration {
		if len(w.took) == 0 {
			return 0
		}
		return w.took[int(share*float64(len(w.took)-1))].Round(time.Millisecond)
	}
	f.Logf("%s: %d answers, %d of them complete, at least %d of 3 nodes, p50 %v p99 %v most %v; %d failed, %d refused and asked again; missing %v",
		what, w.answers, w.complete, w.least, at(0.5), at(0.99), at(1), len(w.failed), w.refused, w.missing)
	for _, text := range w.wrong[:min(len(w.wrong), 5)] {
		f.Errorf("wrong: %s", text)
	}
	if w.answers == 0 {
		f.Error("no answer at all")
	}
}

// failures are at most so many; where none may be, no connection is refused either.
func (w *watch) failures(f *fleet, most int) {
	f.Helper()
	if most == 0 && w.refused > 0 {
		f.Errorf("%d connections were refused", w.refused)
	}
	if len(w.failed) > most {
		f.Errorf("%d questions failed, at most %d may: %v", len(w.failed), most, w.failed[:min(len(w.failed), 10)])
	}
}
