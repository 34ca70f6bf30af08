package api

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// latest answers with the newest scrape, and with the names of pods that are
// not in it.
func (p *peer) latest(ctx context.Context, out *wire.Writer, q wire.Latest) (known bool, _ error) {
	slot, groups, failed := newest(ctx, p.ring, q.To-model.StaleSlots*int64(p.cfg.Resolution/time.Second), q.To)
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
		if !slices.IsSortedFunc(groups, compareGroups) { // a ring's that was opened again
			groups = slices.Clone(groups)
			slices.SortFunc(groups, compareGroups)
		}
		return slot, groups, nil
	}
	f := finder{from: from, to: to}
	for _, pods := range []bool{false, true} {
		for b, err := range ring.Chunks(ctx, model.Query{Pods: pods, From: from, To: to}) {
			if err == nil {
				err = f.read(b)
			}
			if err != nil && failed == nil {
				failed = err
			}
		}
	}
	return f.slot, f.sorted(), failed
}

func compareGroups(a, b model.Group) int { return a.Pod.Compare(b.Pod) }

// A finder finds the newest of the slots from up to to, and its samples.
type finder struct {
	from, to int64
	slot     int64 // 0: none yet
	groups   []model.Group
	decoder  chunk.Decoder
}

// read reads one chunk.
func (f *finder) read(b []byte) error {
	c, err := chunk.Parse(b)
	if err != nil {
		return err
	}
	g := model.Group{Pod: c.Pod}
	for f.decoder.Reset(c); f.decoder.Next(); {
		row := f.decoder.Row()
		if row.Slot < max(f.slot, f.from) || row.Slot > f.to {
			continue
		}
		if row.Slot > f.slot {
			f.slot, f.groups, g.Samples = row.Slot, nil, nil
		}
		g.Samples = append(g.Samples, *row.Sample)
	}
	if len(g.Samples) == 0 {
		return f.decoder.Err()
	}
	f.groups = append(f.groups, g)
	return f.decoder.Err()
}

// sorted are the groups by PodRef. A clock that jumped back makes two chunks of
// the same time: of two groups of one pod the later one counts.
func (f *finder) sorted() []model.Group {
	slices.SortStableFunc(f.groups, compareGroups)
	kept := f.groups[:0]
	for i, g := range f.groups {
		if i+1 == len(f.groups) || f.groups[i+1].Pod != g.Pod {
			kept = append(kept, g)
		}
	}
	return kept
}
