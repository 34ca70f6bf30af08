package fanout

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// DefaultInFlight is how many nodes are asked at a time. Measured with 5000
	// nodes: 64 lose wall time, no bound loses CPU and memory.
	DefaultInFlight = 256
	// DefaultNodeTimeout is how long one node may take: a warm answer takes
	// milliseconds, a starved node's hundreds of them, and three of them one after
	// the other fit in a question's usual 5 s.
	DefaultNodeTimeout = 1500 * time.Millisecond
	// DefaultQueryBudget bounds the bytes of all answers to one question, as they
	// arrive: 15 min of all pods touch two blocks of 0.2 MB on a full node (110
	// pods) and of 0.06 MB on one of 30 pods, so it is 600 or 2000 nodes.
	DefaultQueryBudget = 256 << 20
)

// An Asker asks one node. It returns when ctx ends, and is safe for
// concurrent use. It tells take of bytes as they arrive, and gives up when
// take says that there may be no more. What its errors mean is for
// [agents.Outcome] to say; chunks that come with an error are part of the answer.
type Asker interface {
	Ask(ctx context.Context, node string, q model.Query, take func(bytes int) bool) (apiv1.NodeAnswer, error)
}

// A Config is what bounds the questions. Its zero value is usable.
type Config struct {
	// InFlight is how many nodes one question asks at a time; 0 is
	// DefaultInFlight. It is not shared: the nodes that keep one question waiting
	// must not keep others waiting, too.
	InFlight int
	// NodeTimeout is how long a node may take; 0 is DefaultNodeTimeout.
	NodeTimeout time.Duration
	// QueryBudget bounds the bytes of all answers to one question; 0 is
	// DefaultQueryBudget.
	QueryBudget int64
}

// A Fanout asks nodes. It is safe for concurrent use.
type Fanout struct {
	asker       Asker
	nodeTimeout time.Duration
	queryBudget int64
	places      int          // of one question
	inFlight    atomic.Int64 // of all questions
	history     *history
	metrics     *metrics
}

// New makes a Fanout. The metrics are registered with reg, once per registry.
func New(cfg Config, asker Asker, reg prometheus.Registerer) *Fanout {
	return &Fanout{
		asker:       asker,
		nodeTimeout: cmp.Or(cfg.NodeTimeout, DefaultNodeTimeout),
		queryBudget: cmp.Or(cfg.QueryBudget, DefaultQueryBudget),
		places:      cmp.Or(cfg.InFlight, DefaultInFlight),
		history:     newHistory(),
		metrics:     newMetrics(reg),
	}
}

// Ask asks every node, each once, and returns the answers in the order of
// nodes. It returns within timeout, or as soon as ctx ends, and no node is
// being asked any more then.
func (f *Fanout) Ask(ctx context.Context, nodes []string, q model.Query, timeout time.Duration) ([]apiv1.NodeAnswer, coverage.Coverage) {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a := &asking{
		fanout: f, caller: ctx, query: q, began: began,
		places: make(chan struct{}, f.places), results: make([]result, len(nodes)),
	}
	a.run(limited, nodes)
	answers, c, outcomes := merge(nodes, a.results)
	f.history.add(nodes, a.results, outcomes)
	f.metrics.add(a.results, outcomes, time.Since(began))
	return answers, c
}

// merge makes an answer of the results, and counts their outcomes.
func merge(nodes []string, results []result) ([]apiv1.NodeAnswer, coverage.Coverage, map[coverage.Outcome]int) {
	answers := make([]apiv1.NodeAnswer, 0, len(nodes))
	c := coverage.Coverage{Expected: len(nodes)}
	outcomes := map[coverage.Outcome]int{}
	for i := range results {
		r := &results[i]
		outcomes[r.outcome]++
		if r.asked {
			c.Asked++
		}
		if r.outcome == coverage.OK || len(r.answer.Chunks) > 0 {
			answers = append(answers, r.answer) // a part is better than nothing
		}
		if r.outcome == coverage.OK {
			c.Answered++
			continue
		}
		c.Missing = append(c.Missing, coverage.Missing{Node: nodes[i], Outcome: r.outcome, Elapsed: r.elapsed, Err: short(r.err)})
	}
	return answers, c, outcomes
}

// Status is the state of the fan-out, for /debug/fanout.
func (f *Fanout) Status() Status {
	s := f.history.status()
	s.InFlight, s.Places = int(f.inFlight.Load()), f.places
	return s
}
