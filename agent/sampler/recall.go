package sampler

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A History has the chunks of former slots; *ring.Ring is one.
type History interface {
	Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error]
}

// Recall reads the newest of the slots from from to to, in Unix seconds, as it was
// sampled: with what is not stored as it follows from the samples before. The groups
// are by PodRef. Without any slot it is 0. With an error, the first of several, they
// are those that could be read.
func Recall(ctx context.Context, h History, from, to int64) (slot int64, groups []model.Group, failed error) {
	r := recaller{from: from, to: to, last: Stopwatch{}}
	for _, pods := range []bool{false, true} {
		for b, err := range h.Chunks(ctx, model.Query{Pods: pods, From: from - int64(oldAfter/time.Second), To: to}) {
			if err == nil {
				err = r.read(b)
			}
			if err != nil && failed == nil {
				failed = err
			}
		}
	}
	return r.slot, r.sorted(), failed
}

// A recaller finds the newest slot, and its samples.
type recaller struct {
	from, to int64
	slot     int64 // 0: none yet
	groups   []model.Group
	last     Stopwatch
	decoder  chunk.Decoder
}

// read reads one chunk.
func (r *recaller) read(b []byte) error {
	c, err := chunk.Parse(b)
	if err != nil {
		return err
	}
	g := model.Group{Pod: c.Pod}
	for r.decoder.Reset(c); r.decoder.Next(); {
		row := r.decoder.Row()
		if row.Slot > r.to {
			continue
		}
		s := *row.Sample
		r.last.See(c.Pod, &s)
		if row.Slot < max(r.slot, r.from) {
			continue
		}
		if row.Slot > r.slot {
			r.slot, r.groups, g.Samples = row.Slot, nil, nil
		}
		g.Samples = append(g.Samples, s)
	}
	if len(g.Samples) == 0 {
		return r.decoder.Err()
	}
	r.groups = append(r.groups, g)
	return r.decoder.Err()
}

// sorted are the groups by PodRef. A clock that jumped back makes two chunks of
// the same time: of two groups of one pod the later one counts.
func (r *recaller) sorted() []model.Group {
	slices.SortStableFunc(r.groups, func(a, b model.Group) int { return a.Pod.Compare(b.Pod) })
	kept := r.groups[:0]
	for i, g := range r.groups {
		if i+1 == len(r.groups) || r.groups[i+1].Pod != g.Pod {
			kept = append(kept, g)
		}
	}
	return kept
}
