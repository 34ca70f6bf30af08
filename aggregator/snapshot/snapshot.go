package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

const (
	// flightTimeout bounds a flight. A slow or dead node takes its per-node
	// timeout, 1.5 s; the rest is for a fleet of which thousands are dead and
	// gossip has not said so yet, 256 at a time.
	flightTimeout = 10 * time.Second
	// retryAfter is how long a node that failed is left alone, unless a new
	// slot begins: it is asked three times a slot at most.
	retryAfter = 5 * time.Second
)

// An Asker asks one node for its newest scrape; *agents.Client is one.
type Asker interface {
	Latest(ctx context.Context, node string, q wire.Latest, take func(bytes int) bool) (agents.Latest, error)
}

// A Fanout asks many nodes; *fanout.Fanout is one.
type Fanout interface {
	Do(ctx context.Context, nodes []string, timeout time.Duration, ask fanout.Ask) []fanout.Result
}

// Expected says which nodes should answer, by name.
type Expected interface {
	Nodes() []string
}

// A Snapshot keeps the newest scrape of every node. It is safe for concurrent
// use.
type Snapshot struct {
	resolution time.Duration
	asker      Asker
	fanout     Fanout
	expected   Expected
	metrics    *metrics
	current    atomic.Pointer[View]
	ahead      ahead

	life    context.Context // of flights
	stop    context.CancelFunc
	flights sync.WaitGroup

	mu     sync.Mutex
	nodes  table
	index  *index
	swept  int64 // slot in which the index was last looked through for what is too old
	flight *flight
	closed bool
}

// New makes a snapshot, which is empty until someone wants to know something.
// Close must be called. The metrics are registered with reg, once per registry.
func New(resolution time.Duration, asker Asker, f Fanout, e Expected, reg prometheus.Registerer) *Snapshot {
	s := &Snapshot{resolution: resolution, asker: asker, fanout: f, expected: e, index: new(index)}
	s.nodes.numbers = map[string]int32{}
	s.life, s.stop = context.WithCancel(context.Background())
	s.current.Store(&View{resolution: resolution, index: s.index})
	s.metrics = newMetrics(reg, s)
	return s
}

// Close ends the flight that is under way, if any, and waits for it.
func (s *Snapshot) Close() {
	s.mu.Lock()
	s.closed = true
	s.ahead.stop()
	s.mu.Unlock()
	s.stop()
	s.flights.Wait()
}

// Current returns the snapshot of the slot that is shown, see model.Shown. If there
// is none yet it asks the nodes, together with everyone else who waits for it, and
// returns when they have answered or failed; or when ctx ends, with what has
// come until then.
func (s *Snapshot) Current(ctx context.Context) *View {
	for {
		v, f, fresh := s.refresh()
		if fresh || f == nil {
			return v
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.flight == f { // otherwise it is over, and all has been taken
				s.take(f)
			}
			return s.current.Load()
		}
	}
}

// Finding returns a snapshot that tells who has samples of a pod. That of the
// slot before will do if the pod was running then: all nodes are being asked for
// the next one, but nobody waits for them to learn about one pod. Should it have
// moved since, its new node is found a slot later. Otherwise it is as Current.
func (s *Snapshot) Finding(ctx context.Context, namespace, pod string) *View {
	v, _, fresh := s.refresh()
	before := s.shown() - int64(s.resolution/time.Second)
	if fresh || (v.slot >= before && v.runs(namespace, pod) && slices.Equal(v.expected, s.expected.Nodes())) {
		return v
	}
	return s.Current(ctx)
}

// refresh begins a flight if there is something to ask. It returns the snapshot
// as it is, the flight that is under way, if any, and whether the snapshot is
// that of the slot that is shown.
func (s *Snapshot) refresh() (v *View, f *flight, fresh bool) {
	expected := s.expected.Nodes()
	slot := s.shown()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead.wanted = slot
	s.reveal(slot)
	v = s.current.Load()
	fresh = v.slot == slot && v.whole && (s.ahead.view != nil || slices.Equal(v.expected, expected))
	if !fresh && s.ahead.view != nil { // there is no telling it later
		s.reveal(s.ahead.view.slot)
		v = s.current.Load()
		fresh = v.whole
	}
	if s.flight == nil && s.ahead.view == nil && !s.closed && (!fresh || v.due(time.Now())) {
		s.start(slot, expected)
	}
	return v, s.flight, fresh
}

// shown is the slot that is shown now.
func (s *Snapshot) shown() int64 { return model.Shown(time.Now(), s.resolution) }

// A flight is one question to all nodes that have not answered for its slot.
type flight struct {
	slot      int64
	began     time.Time
	expected  []string
	nodes     []string
	questions []question
	done      chan struct{}

	mu   sync.Mutex
	said []said // that nobody has taken yet
}

// said is what came of asking one node.
type said struct {
	node    int32
	answer  *answer // nil if nothing can be used
	changes []change
	result  *fanout.Result // nil: not known yet
}

// start begins a flight. The caller holds s.mu.
func (s *Snapshot) start(slot int64, expected []string) {
	f := &flight{slot: slot, began: time.Now(), expected: expected, done: make(chan struct{})}
	s.nodes.begin(expected)
	for _, name := range expected {
		n := s.nodes.of(name)
		if !n.wants(slot, f.began) {
			continue
		}
		f.nodes = append(f.nodes, name)
		f.questions = append(f.questions, question{
			node: n.number, before: n.answer, to: slot,
			list: n.answer.wantsList(slot, n.number),
		})
	}
	s.flight = f
	s.flights.Go(func() { s.fly(f) })
}

// fly asks the nodes, and then makes a view of what they said.
func (s *Snapshot) fly(f *flight) {
	results := s.fanout.Do(s.life, f.nodes, flightTimeout, func(ctx context.Context, i int, take func(int) bool) error {
		q := &f.questions[i]
		has := q.before.shown(q.to, s.resolution) && q.before.whole()
		latest, err := s.asker.Latest(ctx, f.nodes[i], wire.Latest{To: q.to, Since: q.since(), Late: !has}, take)
		whole := err == nil
		if !whole && (has || len(latest.Chunks) == 0) {
			return err // a part of the scrape is less than all of the one before
		}
		if latest.Resolution != s.resolution {
			return &agents.Error{Node: f.nodes[i], Outcome: coverage.VersionSkew, Err: fmt.Errorf(
				"it samples every %v, this aggregator expects every %v; --metric-resolution has to be the same", latest.Resolution, s.resolution)}
		}
		if err := s.clock(&latest); err != nil {
			return &agents.Error{Node: f.nodes[i], Outcome: coverage.Refused, Err: err}
		}
		if whole && len(latest.Chunks) == 0 && has {
			return &agents.Error{Node: f.nodes[i], Outcome: coverage.Refused, Err: errEmpty}
		}
		a, changed, unreadable := q.understand(&latest, whole)
		if unreadable != nil {
			return &agents.Error{Node: f.nodes[i], Outcome: coverage.Truncated, Err: unreadable}
		}
		f.add(said{node: q.node, answer: a, changes: changed})
		return err
	})
	for i := range results {
		f.add(said{node: f.questions[i].node, result: &results[i]})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(f)
	s.flight = nil
	s.plan(f.slot)
	close(f.done)
	s.metrics.flew(f)
}

// clock says what is wrong with the clock of a node, nil if nothing: one that is so
// far ahead would have its samples taken for new when they are old.
func (s *Snapshot) clock(l *agents.Latest) error {
	if l.Ahead.Abs() <= model.StaleSlots*s.resolution {
		return nil
	}
	how := "ahead of"
	if l.Ahead < 0 {
		how = "behind"
	}
	return fmt.Errorf("its clock is %v %s this aggregator's; see that both nodes have the right time", l.Ahead.Abs().Round(time.Second), how)
}

// errEmpty is why a node keeps its last values although it answers.
var errEmpty = errors.New("its agent has lost its samples, and has no new one yet")

func (f *flight) add(x said) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, x)
}

// take makes a view of what a flight has brought so far. The caller holds s.mu.
func (s *Snapshot) take(f *flight) {
	f.mu.Lock()
	news := f.said
	f.said = nil
	f.mu.Unlock()
	var changes []change
	now := time.Now()
	for i := range news {
		n := s.nodes.all[news[i].node]
		if a := news[i].answer; a != nil {
			n.answer = a
			changes = n.bound(changes, news[i].changes)
		}
		if r := news[i].result; r != nil {
			n.tried, n.result, n.failed = f.slot, *r, now
		}
	}
	s.index = s.index.with(changes)
	s.sweep(f)
	s.show(s.view(f))
}

// sweep forgets nodes that are no longer expected, and now and then pods of
// which no node has samples any more.
func (s *Snapshot) sweep(f *flight) {
	dropped := s.nodes.drop()
	if dropped == nil && f.slot-s.swept < model.BlockSeconds {
		return
	}
	s.swept = f.slot
	s.index = s.index.without(func(p place) bool {
		if dropped[p.node] {
			return true
		}
		a := s.nodes.all[p.node].answer
		return p.gone != 0 && a != nil && f.slot-p.gone > int64(a.keep/time.Second)+model.BlockSeconds
	})
	s.nodes.free(dropped)
	for number, past := range s.index.gone(len(s.nodes.all)) {
		if n := s.nodes.all[number]; n != nil {
			n.past = past
		}
	}
}
