package dashboard

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
)

const (
	// keepFor is how long a window is kept after it was last asked for: pages ask
	// again every 5 to 30 s for as long as they are looked at.
	keepFor = 2 * time.Minute
	// keepMost is how many bytes all windows that nobody is reading may have: the 15
	// minutes of 50,000 containers.
	keepMost = 64 << 20
	// flightTimeout bounds asking for history, which goes on when those who wait for
	// it do not any more: the next question finds it. An agent has its own timeout.
	flightTimeout = 5 * time.Second
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
	most   int // keepMost

	life    context.Context // of flights
	stop    context.CancelFunc
	flights sync.WaitGroup

	mu     sync.Mutex
	all    map[string]*window // by namespace
	swept  time.Time          // when all were last pruned
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
	w.mu.Unlock()
	w.stop()
	w.flights.Wait()
}

// resolution is the distance of slots, in seconds.
func (w *windows) resolution() int64 { return int64(w.cfg.Resolution / time.Second) }

// shown is how many slots are shown, cells how many are kept.
func (w *windows) shown() int64 { return int64(w.cfg.Window / w.cfg.Resolution) }
func (w *windows) cells() int64 { return w.shown() + spareCells }

// enter returns the window of a namespace, or of nodes if it is empty. leave has to be
// called with it.
func (w *windows) enter(namespace string) *window {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.all[namespace]
	if v == nil {
		v = &window{windows: w, namespace: namespace, sources: map[string]*source{}, subjects: map[string][]*subject{}}
		w.all[namespace] = v
	}
	v.users++
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
			v.prune(edge - w.cells()*w.resolution())
		}
	}
	var idle []*window // of which nobody reads
	total := 0
	for _, v := range w.all {
		total += v.size()
		if v.users == 0 {
			idle = append(idle, v)
		}
	}
	slices.SortFunc(idle, func(a, b *window) int { return a.used.Compare(b.used) })
	for _, v := range idle {
		if total > w.most || now.Sub(v.used) >= keepFor {
			total -= v.size()
			delete(w.all, v.namespace)
		}
	}
}

// kept is how many bytes are kept.
func (w *windows) kept() (bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.all {
		bytes += v.size()
	}
	return bytes
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
		defer close(f.done)
		w.ask(v, f)
	})
}

// ask asks the nodes of a flight.
func (w *windows) ask(v *window, f *flight) {
	q, err := w.fanout.Begin(w.life, len(f.nodes), flightTimeout)
	if err != nil {
		for i := range f.nodes {
			v.arrived(f, i, apiv1.NodeAnswer{}, true)
		}
		return
	}
	defer q.End()
	q.Do(w.life, f.nodes, func(ctx context.Context, i int, take func(int) bool) error {
		a, err := w.agents.Ask(ctx, f.nodes[i], v.query(f.from[i], f.to[i]), take)
		v.arrived(f, i, a, err != nil)
		return err
	})
	for i := range f.nodes { // that were not asked
		v.arrived(f, i, apiv1.NodeAnswer{}, true)
	}
}
