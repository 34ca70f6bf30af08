package ring

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// matches tells whether the query asks for that pod, or for the node.
func matches(q *model.Query, pod model.PodRef) bool {
	if !q.Pods || pod == (model.PodRef{}) {
		return !q.Pods && pod == (model.PodRef{})
	}
	return (q.Namespace == "" || q.Namespace == pod.Namespace) && (q.Pod == "" || q.Pod == pod.Name)
}

// prefix is the prefix of the keys in the block that match.
func prefix(q *model.Query, seq uint64) []byte {
	k := chunkPrefix(seq)
	if !q.Pods {
		return append(k, 0, 0)
	}
	if q.Namespace == "" {
		return k
	}
	k = append(append(k, q.Namespace...), 0)
	if q.Pod == "" {
		return k
	}
	return append(append(k, q.Pod...), 0)
}

// piece is a block that a query has to look at: a stored one, or chunks that
// were copied out of memory.
type piece struct {
	start  int64
	seq    uint64
	chunks [][]byte
}

// Chunks yields the coded chunks that answer the query: block by block, by
// time and, for blocks of the same time, in the order in which they were
// written; within a block by namespace, name and UID. The bytes are valid
// until the next step. An error ends the sequence.
func (r *Ring) Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		pieces, it, done, err := r.prepare(q)
		if err != nil {
			yield(nil, err)
			return
		}
		defer done()
		for _, p := range pieces {
			for _, c := range p.chunks {
				if !yield(c, ctx.Err()) || ctx.Err() != nil {
					return
				}
			}
			if p.chunks != nil {
				continue
			}
			want := prefix(&q, p.seq)
			for it.SeekGE(want); it.Valid() && bytes.HasPrefix(it.Key(), want); it.Next() {
				if q.Pods && it.Key()[len(chunkPrefix(0))] == 0 {
					continue // the node's own
				}
				if ctx.Err() != nil {
					yield(nil, ctx.Err())
					return
				}
				v, err := it.ValueAndErr()
				if err != nil {
					yield(nil, fmt.Errorf("read the block of %d: %w", p.start, err))
					return
				}
				if !yield(v, nil) {
					return
				}
			}
			if err := it.Error(); err != nil {
				yield(nil, fmt.Errorf("read the block of %d: %w", p.start, err))
				return
			}
		}
	}
}

// prepare takes one consistent view of the ring: which blocks, and an iterator
// over the stored ones. done must be called when there is no error.
func (r *Ring) prepare(q model.Query) (pieces []piece, it *pebble.Iterator, done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, nil, nil, errClosed
	}
	done = func() {}
	if r.store != nil {
		for i := range r.stored {
			if b := &r.stored[i]; b.overlaps(q.From, q.To) {
				pieces = append(pieces, piece{start: b.Start, seq: b.Seq})
			}
		}
		if len(pieces) > 0 {
			it, err = r.store.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyChunk}, UpperBound: []byte{keyChunk + 1}})
			if err != nil {
				return nil, nil, nil, fmt.Errorf("read the ring: %w", err)
			}
			r.readers.Add(1)
			done = func() {
				defer r.readers.Done()
				if err := it.Close(); err != nil {
					r.note(fmt.Errorf("end of a query: %w", err))
				}
			}
		}
	}
	for _, b := range r.inMemory() {
		info := b.info(b.last)
		if !info.overlaps(q.From, q.To) {
			continue
		}
		p := piece{start: b.start, seq: b.seq, chunks: [][]byte{}}
		for _, g := range b.groups {
			if matches(&q, g.Header().Pod) {
				p.chunks = append(p.chunks, g.AppendChunk(nil))
			}
		}
		pieces = append(pieces, p)
	}
	slices.SortStableFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.seq, b.seq))
	})
	return pieces, it, done, nil
}

// inMemory are the blocks in memory, oldest first. The caller holds r.mu.
func (r *Ring) inMemory() []*block {
	blocks := slices.Clone(r.waiting)
	if r.open != nil {
		blocks = append(blocks, r.open)
	}
	return blocks
}

// Knows tells whether the ring has any sample of the pod or, if pod is empty,
// of the namespace, however old.
func (r *Ring) Knows(namespace, pod string) (bool, error) {
	q := model.Query{Pods: true, Namespace: namespace, Pod: pod, From: -1 << 62, To: 1 << 62}
	r.mu.Lock()
	for _, b := range r.inMemory() {
		for _, g := range b.groups {
			if matches(&q, g.Header().Pod) {
				r.mu.Unlock()
				return true, nil
			}
		}
	}
	r.mu.Unlock()
	_, it, done, err := r.prepare(q)
	if err != nil || it == nil {
		return false, err
	}
	defer done()
	r.mu.Lock()
	blocks := slices.Clone(r.stored)
	r.mu.Unlock()
	for _, b := range slices.Backward(blocks) {
		want := prefix(&q, b.Seq)
		if it.SeekGE(want) && bytes.HasPrefix(it.Key(), want) {
			return true, nil
		}
	}
	return false, it.Error()
}
