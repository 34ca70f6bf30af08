package api

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// latest answers with the newest scrape, and with the names of pods that are
// not in it.
func (p *peer) latest(ctx context.Context, out *wire.Writer, q wire.Latest) (known bool, _ error) {
	from := q.To - model.StaleSlots*int64(p.cfg.Resolution/time.Second)
	slot, groups, failed := newest(ctx, p.ring, from, q.To)
	if slot == q.To && p.ring.Late(slot) { // others may have been told of the one before
		earlier, before, err := newest(ctx, p.ring, from, q.To-1)
		if earlier != 0 || !q.Late {
			slot, groups, failed = earlier, before, err
		}
	}
	var b chunk.Builder
	var coded []byte
	for i := range groups {
		if !build(&b, slot, p.cfg.Resolution, &groups[i]) {
			continue
		}
		coded = b.AppendChunk(coded[:0])
		if out.Chunk(coded) != nil {
			return known, errBroken
		}
		known = true
	}
	if failed != nil {
		return known, failed
	}
	// Beyond To, too: what has come since then is asked for with the same Since.
	// A block of hours ago that cannot be read is no reason to doubt the scrape.
	pods, err := p.ring.Pods(ctx, model.Query{Pods: true, From: q.Since, To: 1 << 62})
	out.Unlisted(err)
	for i, ref := range pods {
		if i > 0 && ref.Namespace == pods[i-1].Namespace && ref.Name == pods[i-1].Name {
			continue // another UID
		}
		if len(named(groups, ref.Namespace, ref.Name)) == 0 && out.Pod(ref.Namespace, ref.Name) != nil {
			return known, errBroken
		}
	}
	return known, nil
}

// build makes a chunk of one group. It returns false for a group that the ring
// has refused, too.
func build(b *chunk.Builder, slot int64, resolution time.Duration, g *model.Group) bool {
	for _, name := range []string{g.Pod.Namespace, g.Pod.Name, g.Pod.UID} {
		if len(name) > model.MaxName {
			return false
		}
	}
	b.Reset(chunk.Header{Pod: g.Pod, Block: model.BlockOf(slot), Resolution: resolution})
	return b.Append(slot, g.Samples) == nil
}

// named are the groups of a pod, all its UIDs.
func named(groups []model.Group, namespace, pod string) []model.Group {
	from, _ := slices.BinarySearchFunc(groups, model.PodRef{Namespace: namespace, Name: pod}, func(g model.Group, ref model.PodRef) int {
		return model.PodRef{Namespace: g.Pod.Namespace, Name: g.Pod.Name}.Compare(ref)
	})
	to := from
	for to < len(groups) && groups[to].Pod.Namespace == namespace && groups[to].Pod.Name == pod {
		to++
	}
	return groups[from:to]
}

// newest finds the newest scrape that is not after to, by PodRef. If it is
// neither the last of all nor the one before, it is taken from the chunks from
// from on. Without one the slot is 0.
func newest(ctx context.Context, ring Ring, from, to int64) (slot int64, groups []model.Group, failed error) {
	if slot, scrape, ok := ring.Scrape(to); ok {
		groups = scrape.Groups
		if !slices.IsSortedFunc(groups, compareGroups) {
			groups = slices.Clone(groups)
			slices.SortFunc(groups, compareGroups)
		}
		return slot, groups, nil
	}
	return sampler.Recall(ctx, ring, from, to)
}

func compareGroups(a, b model.Group) int { return a.Pod.Compare(b.Pod) }
