package api

import (
	"bytes"
	"context"
	"iter"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// local answers /api/v1 from the node's own ring.
type local struct {
	node string
	ring Ring
}

// Local is the source of a /api/v1 that covers this node only. It keeps
// working when nothing else does: it needs no roster, no API server. It holds
// the chunks of the node, but of pods only one chunk at a time.
func Local(node string, r Ring) apiv1.Source { return local{node, r} }

// Ask implements [apiv1.Source].
func (l local) Ask(ctx context.Context, q apiv1.Question) (apiv1.Answer, error) {
	if q.Node != "" && q.Node != l.node {
		return apiv1.Answer{}, apiv1.Errorf(apiv1.NotFound, "this is node %q; ask an aggregator about %q", l.node, q.Node)
	}
	if q.Latest {
		return l.latest(ctx, q)
	}
	began := time.Now()
	r := &reading{ctx: ctx, ring: l.ring, query: q.Query, left: q.Timeout}
	a := apiv1.NodeAnswer{Node: l.node}
	var failed error
	if q.Pods {
		a.Pods, failed = r.pods()
	} else {
		a.Chunks, failed = r.own()
	}
	if len(a.Pods) == 0 && q.Namespace != "" && failed == nil {
		a.Known, failed = l.ring.Knows(q.Namespace, q.Pod)
	}
	cov := coverage.Coverage{Expected: 1, Asked: 1, Answered: 1}
	if failed != nil {
		cov.Lose(coverage.Missing{Node: l.node, Outcome: coverage.Truncated, Elapsed: time.Since(began), Err: failed.Error()})
	}
	return apiv1.Answer{Nodes: []apiv1.NodeAnswer{a}, Coverage: cov}, nil
}

// latest answers with the newest scrape, for as long as it is shown.
func (l local) latest(ctx context.Context, q apiv1.Question) (apiv1.Answer, error) {
	slot, groups, failed := newest(ctx, l.ring, q.From, q.To)
	cov := coverage.Coverage{Expected: 1, Asked: 1, Answered: 1}
	if failed != nil {
		cov.Lose(coverage.Missing{Node: l.node, Outcome: coverage.Truncated, Err: failed.Error()})
	}
	if slot != 0 && slot < q.To {
		m := coverage.Missing{Node: l.node, Outcome: coverage.Stale, Age: time.Duration(q.To-slot) * time.Second, Err: "it has no newer sample"}
		if slot < q.From {
			groups, m.Err = nil, "its newest sample is too old to be shown"
		}
		cov.Lose(m)
	}
	if q.Namespace != "" && q.Pod != "" {
		groups = named(groups, q.Namespace, q.Pod)
	}
	a := apiv1.NodeAnswer{Node: l.node}
	var b chunk.Builder
	for i := range groups {
		g := &groups[i]
		if q.Pods == (g.Pod == model.PodRef{}) || (q.Namespace != "" && q.Namespace != g.Pod.Namespace) {
			continue
		}
		// Whatever the resolution is: all slots begin with a second.
		if build(&b, slot, time.Second, g) {
			a.Chunks = append(a.Chunks, b.AppendChunk(nil))
		}
	}
	if len(a.Chunks) == 0 && q.Namespace != "" {
		known, err := l.ring.Knows(q.Namespace, q.Pod)
		if a.Known = known; err != nil {
			cov.Lose(coverage.Missing{Node: l.node, Outcome: coverage.Truncated, Err: err.Error()})
		}
	}
	return apiv1.Answer{Nodes: []apiv1.NodeAnswer{a}, Coverage: cov}, nil
}

// A reading is what is read for one answer, step by step.
type reading struct {
	ctx   context.Context // of the request
	ring  Ring
	query model.Query
	left  time.Duration // for the steps to come; between them, time is the client's
}

// begin begins a step; done ends it.
func (r *reading) begin() (ctx context.Context, done func()) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.ctx, r.left)
	return ctx, func() {
		cancel()
		r.left -= time.Since(began)
	}
}

// own reads the node's own chunks.
func (r *reading) own() (chunks [][]byte, failed error) {
	for c, err := range r.chunks(r.query) {
		if failed = err; err == nil {
			chunks = append(chunks, bytes.Clone(c))
		}
	}
	return chunks, failed
}

// pods lists the pods, each name once, to be read later.
func (r *reading) pods() ([]apiv1.PodChunks, error) {
	ctx, done := r.begin()
	defer done()
	refs, err := r.ring.Pods(ctx, r.query)
	pods := make([]apiv1.PodChunks, 0, len(refs))
	for i, ref := range refs {
		if i > 0 && ref.Namespace == refs[i-1].Namespace && ref.Name == refs[i-1].Name {
			continue // another UID
		}
		q := r.query
		q.Namespace, q.Pod = ref.Namespace, ref.Name
		pods = append(pods, apiv1.PodChunks{Namespace: ref.Namespace, Name: ref.Name, Chunks: r.chunks(q)})
	}
	return pods, err
}

// chunks reads what answers the query, each time it is ranged over.
func (r *reading) chunks(q model.Query) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ctx, done := r.begin()
		defer done()
		if err := ctx.Err(); err != nil {
			yield(nil, err)
			return
		}
		r.ring.Chunks(ctx, q)(yield)
	}
}
