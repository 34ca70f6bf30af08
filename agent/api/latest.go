package api

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// staleSlots is how many slots an aggregator still shows a value after its own.
const staleSlots = 3

// latest answers with the newest scrape, and with the names of pods that are
// not in it.
func (p *peer) latest(ctx context.Context, out *wire.Writer, q wire.Latest) (known bool, _ error) {
	slot, scrape, failed := p.newest(ctx, q.To)
	var b chunk.Builder
	var coded []byte
	for i := range scrape.Groups {
		g := &scrape.Groups[i]
		b.Reset(chunk.Header{Pod: g.Pod, Block: model.BlockOf(slot), Resolution: p.cfg.Resolution})
		if err := b.Append(slot, g.Samples); err != nil {
			failed = err
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
	pods, failed := p.ring.Pods(ctx, model.Query{Pods: true, From: q.Since, To: 1 << 62})
	for i, ref := range pods {
		if i > 0 && ref.Namespace == pods[i-1].Namespace && ref.Name == pods[i-1].Name {
			continue // another UID
		}
		_, there := slices.BinarySearchFunc(scrape.Groups, model.PodRef{Namespace: ref.Namespace, Name: ref.Name}, compareName)
		if !there && out.Pod(ref.Namespace, ref.Name) != nil {
			return known, errBroken
		}
	}
	return known, failed
}

// compareName compares the pod of a group with a pod without its UID.
func compareName(g model.Group, ref model.PodRef) int {
	return model.PodRef{Namespace: g.Pod.Namespace, Name: g.Pod.Name}.Compare(ref)
}

// newest finds the newest scrape that is not after a slot. Mostly that is the
// newest of all; if not, it is taken from the chunks of the last few slots.
func (p *peer) newest(ctx context.Context, to int64) (slot int64, scrape model.Scrape, failed error) {
	slot, scrape, ok := p.ring.Latest()
	if !ok || slot <= to {
		return slot, scrape, nil
	}
	slot, scrape = 0, model.Scrape{}
	q := model.Query{From: to - staleSlots*int64(p.cfg.Resolution/time.Second), To: to}
	var d chunk.Decoder
	for _, q.Pods = range []bool{false, true} {
		for b, err := range p.ring.Chunks(ctx, q) {
			var c chunk.Chunk
			if err == nil {
				c, err = chunk.Parse(b)
			}
			if err != nil {
				return slot, scrape, err
			}
			g := model.Group{Pod: c.Pod}
			for d.Reset(c); d.Next(); {
				row := d.Row()
				if row.Slot < max(slot, q.From) || row.Slot > to {
					continue
				}
				if row.Slot > slot {
					slot, scrape.Groups, g.Samples = row.Slot, nil, nil
				}
				g.Samples = append(g.Samples, *row.Sample)
			}
			if d.Err() != nil {
				return slot, scrape, d.Err()
			}
			if len(g.Samples) > 0 {
				scrape.Groups = append(scrape.Groups, g)
			}
		}
	}
	slices.SortFunc(scrape.Groups, func(a, b model.Group) int { return a.Pod.Compare(b.Pod) })
	return slot, scrape, nil
}
