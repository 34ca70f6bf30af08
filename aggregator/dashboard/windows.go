package dashboard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
)

const (
	// keepFor is how long a window is kept after it was last asked for: pages ask
	// again every 5 to 30 s for as long as they are looked at.
	keepFor = 2 * time.Minute
	// keepMost is how many bytes all windows may have but for the one that was asked
	// for last: the 15 minutes of 50,000 containers. That one may be larger, until all
	// have holdTimes as much, so that what large namespaces have is not asked for each
	// time.
	keepMost  = 64 << 20
	holdTimes = 2
	// flightTimeout bounds asking for history, which goes on when those who wait for
	// it do not any more: the next question finds it. An agent has its own timeout.
	flightTimeout = 5 * time.Second
	// flightStep is how much history an agent is asked for at a time: a day of all
	// pods of a full node is more than one answer may be.
	flightStep = 2 * time.Hour
	// spareCells are the slots that are kept beyond the window: those before it, from
	// which a gap at its beginning is filled, and one each for a newest slot that is
	// left off and for an answer that is read for as long as a slot.
	spareCells = maxGap + 3
)

// windows are what is kept.
type windows struct {
	cfg    Config
	fanout Fanout
	agents Agents
	most   int          // keepMost
	tracks atomic.Int64 // of all windows

	life    context.Context // of flights
	stop    context.CancelFunc
	flights sync.WaitGroup

	mu     sync.Mutex
	all    map[string]*window // by namespace
	swept  time.Time          // when all were last pruned
	timer  *time.Timer        // until windows are dropped that nobody asks for any more
	closed bool
}

func newWindows(cfg Config, f Fanout, a Agents) *windows {
	w := &windows{cfg: cfg, fanout: f, agents: a, most: keepMost, all: map[string]*window{}}
	w.life, w.stop = context.WithCancel(context.Background())
	return w
}

func (w *windows) close() {
	w.mu.Lock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.stop()
	w.flights.Wait()
}

// resolution is the distance of slots, in seconds.
func (w *windows) resolution() int64 { return int64(w.cfg.Resolution / time.Second) }

// shown is how many slots are shown, cells how many are kept.
func (w *windows) shown() int64 { return int64(w.cfg.Window / w.cfg.Resolution) }
func (w *windows) cells() int64 { return w.shown() + spareCells }

// oldest is the slot before the first one that is kept when edge is the last, both in
// Unix seconds.
func (w *windows) oldest(edge int64) int64 { return edge - w.cells()*w.resolution() }

// room tells whether there is room for another track.
func (w *windows) room() bool {
	return w.bytes(w.tracks.Load()+1) <= holdTimes*w.most
}

// enter returns the window of a namespace, or of nodes if it is empty. leave has to be
// called with it.
func (w *windows) enter(namespace string) *window {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.all[namespace]
	if v == nil {
		namespace = strings.Clone(namespace) // which is a part of a path with thousands of names
		v = &window{windows: w, namespace: namespace, sources: map[string]*source{}, subjects: map[string][]*subject{}}
		w.all[namespace] = v
	}
	v.users++
	w.trim() // makes room
	return v
}

// leave ends the use of a window, of which the slots up to edge were shown, in Unix
// seconds. What is too old, or too much, is dropped.
func (w *windows) leave(v *window, edge int64) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	v.users--
	v.used = now
	if now.Sub(w.swept) >= w.cfg.Resolution {
		w.swept = now
		for _, v := range w.all {
			v.prune(w.oldest(edge))
		}
	}
	w.trim()
}

// trim drops windows that nobody reads: of which nobody has wanted to know for
// keepFor, that are empty, and that are too much, but for the last one that was asked
// for. The caller holds w.mu.
func (w *windows) trim() {
	var idle []*window
	total := 0
	for _, v := range w.all {
		total += v.size()
		if v.users == 0 {
			idle = append(idle, v)
		}
	}
	slices.SortFunc(idle, func(a, b *window) int { return a.used.Compare(b.used) })
	used := len(idle) < len(w.all)
	for i, v := range idle {
		last := i == len(idle)-1 && !used
		if total > w.most && !last || time.Since(v.used) >= keepFor || v.empty() {
			total -= v.size()
			delete(w.all, v.namespace)
			v.drop()
		}
	}
	if w.closed || len(w.all) == 0 {
		return
	}
	if w.timer == nil {
		w.timer = time.AfterFunc(keepFor, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.trim()
		})
		return
	}
	w.timer.Reset(keepFor)
}

// kept is how many bytes are kept.
func (w *windows) kept() int { return w.bytes(w.tracks.Load()) }

// bytes is about how many so many tracks take.
func (w *windows) bytes(tracks int64) int { return int(tracks) * trackSize(int(w.cells())) }

// lacking are the nodes of which a part of the history could not be had, and why.
func (w *windows) lacking() map[string]error {
	w.mu.Lock()
	defer w.mu.Unlock()
	why := map[string]error{}
	for _, v := range w.all {
		v.mu.Lock()
		for name, s := range v.sources {
			if s.why != nil {
				why[name] = s.why
			}
		}
		v.mu.Unlock()
	}
	return why
}

// fly begins a flight.
func (w *windows) fly(v *window, f *flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		close(f.done) // nobody asks any more
		return
	}
	w.flights.Go(func() {
		w.ask(v, f)
		close(f.done)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.trim()
	})
}

// ask asks the nodes of a flight.
func (w *windows) ask(v *window, f *flight) {
	q, err := w.fanout.Begin(w.life, len(f.nodes), flightTimeout)
	if err != nil {
		err = fmt.Errorf("not asked for its history: %w", err)
		for i := range f.nodes {
			v.arrived(f, i, apiv1.NodeAnswer{}, f.from[i], f.to[i], err)
		}
		return
	}
	defer q.End()
	results := q.Do(w.life, f.nodes, func(ctx context.Context, i int, take func(int) bool) error {
		return w.history(ctx, v, f, i, take)
	})
	for i := range results { // of those that were not asked
		r := &results[i]
		v.arrived(f, i, apiv1.NodeAnswer{}, f.from[i], f.to[i], &agents.Error{Node: f.nodes[i], Outcome: r.Outcome, Err: errors.New(r.Reason())})
	}
}

// history asks node i of a flight, step by step. The error is the first one, although
// a part of the history may have come with it.
func (w *windows) history(ctx context.Context, v *window, f *flight, i int, take func(int) bool) (first error) {
	for from := f.from[i]; from <= f.to[i]; {
		to := min(f.to[i], from+int64(flightStep/time.Second)-w.resolution())
		a, err := w.agents.Ask(ctx, f.nodes[i], v.query(from, to), take)
		if first == nil {
			first = err
		}
		if !v.arrived(f, i, a, from, to, err) {
			break
		}
		from = to + w.resolution()
	}
	return first
}
