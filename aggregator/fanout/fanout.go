package fanout

import (
	"cmp"
	"context"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

const (
	// DefaultInFlight is how many nodes one question asks at a time. Of 5000 nodes
	// on the same two cores as the aggregator, 64 at a time took it 187 ms of CPU,
	// 256 to 1024 took 124 to 133 ms, all at once 151 ms: with few it goes to sleep
	// and wakes for each answer, with many nothing stays in the caches. 100 nodes
	// that do not answer leave places to the others; it is not more since as many
	// handshakes have to fit in a node timeout.
	DefaultInFlight = 256
	// DefaultNodeTimeout is how long one node may take: a warm answer takes
	// milliseconds, a starved node's hundreds of them, and three of them one after
	// the other fit in a question's usual 5 s.
	DefaultNodeTimeout = 1500 * time.Millisecond
	// DefaultQueryBudget bounds the bytes of all answers to one question, as they
	// arrive: 15 min of all pods are 44 KB on a node with 30 pods, so that is as
	// much as 5000 such nodes may be asked for at a time; longer needs a step.
	DefaultQueryBudget = 256 << 20
	// DefaultProcessBudget bounds the bytes of the answers to all questions: two
	// of the largest at once, or a hundred of the usual ones. It is less if the
	// process may not use four times as much: connections and the snapshot take 220
	// MB at 5000 nodes, and garbage the rest. With GOMEMLIMIT=512MiB, of which a
	// third was for answers, 200 clients had the process use 567; with a quarter,
	// 480.
	DefaultProcessBudget = 2 * DefaultQueryBudget
	memoryPart           = 4
	// reserve is the part of the process budget that questions to many nodes leave
	// to those to few, and to the snapshot, which take little and are never refused.
	reserve = 4
)

// Agents are the agents of all nodes; [*agents.Client] is them. They are safe
// for concurrent use.
type Agents interface {
	// Probe asks a node something cheap, to see whether it answers. It returns
	// when ctx ends. What its errors mean is for [agents.Outcome] to say.
	Probe(ctx context.Context, node string) error
	// Incarnation tells one process of a node's agent, at one place, from
	// another. It is zero as long as the agent is not here.
	Incarnation(node string) agents.Incarnation
}

// A Config is what bounds the questions. Its zero value is usable.
type Config struct {
	// InFlight is how many nodes one question asks at a time; 0 is
	// DefaultInFlight. It is not shared: the nodes that keep one question waiting
	// must not keep others waiting, too.
	InFlight int
	// NodeTimeout is how long a node may take; 0 is DefaultNodeTimeout. It counts
	// from the question's beginning, so that nodes whose turn comes late do not
	// make the question late, but a node always has two thirds of it.
	NodeTimeout time.Duration
	// QueryBudget bounds the bytes of all answers to one question; 0 is
	// DefaultQueryBudget. ProcessBudget is that of all questions until their End; 0
	// is DefaultProcessBudget, or a quarter of GOMEMLIMIT if that is less. One question
	// has no more than all of them.
	QueryBudget, ProcessBudget int64
}

// A Fanout asks nodes. It is safe for concurrent use.
type Fanout struct {
	nodeTimeout   time.Duration
	queryBudget   int64
	processBudget int64
	places        int          // of one question
	inFlight      atomic.Int64 // of all questions
	held          atomic.Int64 // bytes of all questions
	admission     *admission
	lane          *lane
	history       *history
	metrics       *metrics
}

// New makes a Fanout, which has to be closed. The metrics are registered with
// reg, once per registry.
func New(cfg Config, a Agents, reg prometheus.Registerer) *Fanout {
	f := &Fanout{
		nodeTimeout:   cmp.Or(cfg.NodeTimeout, DefaultNodeTimeout),
		processBudget: cmp.Or(cfg.ProcessBudget, processBudget(debug.SetMemoryLimit(-1))),
		places:        cmp.Or(cfg.InFlight, DefaultInFlight),
	}
	f.queryBudget = min(cmp.Or(cfg.QueryBudget, DefaultQueryBudget), f.processBudget)
	f.admission = newAdmission(int64(f.places))
	f.history = newHistory(a.Incarnation)
	f.metrics = newMetrics(reg, f)
	f.lane = newLane(f.nodeTimeout, a.Probe, func(node string, err error, took time.Duration) bool {
		return f.metrics.probed(f.history.probed(node, err, took))
	})
	return f
}

// processBudget is the budget of a process that may use so much memory, in bytes.
func processBudget(memory int64) int64 { return min(DefaultProcessBudget, memory/memoryPart) }

// Close ends the probes of nodes and waits for them. Questions may still be
// asked; nodes that fail are not probed any more.
func (f *Fanout) Close() { f.lane.close() }

// Begin begins a question to that many nodes, which has to be ended. If too
// many are being answered it waits for its turn, and if that takes half of
// timeout the error is [apiv1.TooManyRequests]; so it is at once if answers that
// are still being read hold half of the process' budget. Questions to few nodes
// are never refused.
func (f *Fanout) Begin(ctx context.Context, nodes int, timeout time.Duration) (*Question, error) {
	q := f.question(timeout)
	if nodes <= fewNodes {
		return q, nil
	}
	if held := f.held.Load(); held > f.processBudget/2 {
		f.metrics.refused.Inc()
		return nil, apiv1.Errorf(apiv1.TooManyRequests, "the answers to other questions, which are still being read, hold %vB of %vB: ask again later, or for one node or pod", cli.Bytes(held), cli.Bytes(f.processBudget))
	}
	weight := int64(min(nodes, f.places))
	if err := f.admission.enter(ctx, weight, timeout/2); err != nil {
		if ctx.Err() == nil {
			f.metrics.refused.Inc()
		}
		return nil, err
	}
	q.weight = weight
	q.most -= f.processBudget / reserve
	return q, nil
}

// Do asks the nodes as a question of its own, which is never refused.
func (f *Fanout) Do(ctx context.Context, nodes []string, timeout time.Duration, ask Ask) []Result {
	q := f.question(timeout)
	defer q.End()
	return q.Do(ctx, nodes, ask)
}

func (f *Fanout) question(timeout time.Duration) *Question {
	return &Question{fanout: f, deadline: time.Now().Add(timeout), most: f.processBudget}
}
