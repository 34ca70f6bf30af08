package virtual

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A ring is one node's history. It implements [api.Ring], and is safe for
// concurrent use.
type ring struct {
	cast  *cast
	node  int
	phase time.Duration
	// stage is who is there in the newest block, and what they are called.
	stage atomic.Pointer[stage]
}

// A stage is all who are there in one block: the node, then the pods.
type stage struct {
	block  int64
	host   []actor
	actors []actor
}

func newRing(c *cast, node int) *ring {
	return &ring{cast: c, node: node, phase: sampler.Phase(nodeName(node), c.cfg.Resolution)}
}

func (r *ring) seconds() int64 { return int64(r.cast.cfg.Resolution / time.Second) }

// newest is the newest slot that has been sampled, as an agent does.
func (r *ring) newest() int64 { return model.SlotOf(time.Now().Add(-r.phase), r.cast.cfg.Resolution) }

// oldest is the first block that is kept: at least History, in whole blocks.
func (r *ring) oldest(newest int64) int64 {
	return model.BlockOf(newest - int64(r.cast.cfg.History/time.Second))
}

// index is a slot's in its block.
func (r *ring) index(slot int64) int { return int((slot - model.BlockOf(slot)) / r.seconds()) }

// present is who is there in the newest block.
func (r *ring) present(block int64) *stage {
	if s := r.stage.Load(); s != nil && s.block == block {
		return s
	}
	s := &stage{block: block, host: r.cast.host(r.node, block), actors: r.cast.scene(r.node, block, &model.Query{})}
	r.stage.Store(s)
	return s
}

// blocks yields the blocks that a query touches, and the last slot of each as
// an index.
func (r *ring) blocks(q *model.Query) iter.Seq2[int64, int] {
	return func(yield func(int64, int) bool) {
		newest := r.newest()
		from, to := max(q.From, r.oldest(newest)), min(q.To, newest)
		for block := model.BlockOf(from); from <= to && block <= to; block += model.BlockSeconds {
			last := min(newest, block+model.BlockSeconds-r.seconds())
			if !yield(block, r.index(last)) {
				return
			}
		}
	}
}

// Chunks implements [api.Ring]: block by block, by namespace, name and UID.
func (r *ring) Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var buf []byte
		for block, index := range r.blocks(&q) {
			for _, a := range r.actors(block, &q) {
				if ctx.Err() != nil {
					yield(nil, ctx.Err())
					return
				}
				body := a.life.body(a.age, index)
				if len(body) == 0 || !wanted(&q, a.ref) {
					continue
				}
				buf = appendHeader(buf[:0], chunk.Header{Pod: a.ref, Block: block, Resolution: r.cast.cfg.Resolution})
				buf = append(buf, body...)
				if !yield(buf, nil) {
					return
				}
			}
		}
	}
}

// actors are those whom the query asks for in a block, and perhaps more.
func (r *ring) actors(block int64, q *model.Query) []actor {
	newest := block == model.BlockOf(r.newest())
	switch {
	case newest && q.Pods:
		return r.present(block).actors
	case newest:
		return r.present(block).host
	case q.Pods:
		return r.cast.scene(r.node, block, q)
	}
	return r.cast.host(r.node, block)
}

// Pods implements [api.Ring].
func (r *ring) Pods(_ context.Context, q model.Query) ([]model.PodRef, error) {
	newest := r.newest()
	from, to := max(q.From, r.oldest(newest)), min(q.To, newest)
	if from > to {
		return nil, nil
	}
	return r.cast.pods(r.node, model.BlockOf(from), to, &q), nil
}

// Scrape implements [api.Ring].
func (r *ring) Scrape(to int64) (slot int64, scrape model.Scrape, ok bool) {
	slot = min(r.newest(), to)
	block, index := model.BlockOf(slot), r.index(slot)
	s := r.present(block)
	scrape.Groups = make([]model.Group, 0, len(s.host)+len(s.actors))
	for _, actors := range [][]actor{s.host, s.actors} {
		for _, a := range actors {
			samples, err := a.life.newest(a.age, index, block)
			if err != nil {
				return 0, model.Scrape{}, false
			}
			if samples != nil {
				scrape.Groups = append(scrape.Groups, model.Group{Pod: a.ref, Samples: samples})
			}
		}
	}
	return slot, scrape, true
}

// Late implements [api.Ring]: kubelets answer at once here.
func (*ring) Late(int64) bool { return false }

// Knows implements [api.Ring].
func (r *ring) Knows(namespace, pod string) (bool, error) {
	newest := r.newest()
	q := model.Query{Pods: true, Namespace: namespace, Pod: pod}
	return len(r.cast.pods(r.node, r.oldest(newest), newest, &q)) > 0, nil
}
