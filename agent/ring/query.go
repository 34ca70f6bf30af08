package ring

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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
// until the next step. An error comes last: of a block that cannot be read the
// rest is missing, of a ring whose store cannot be used all that is not in
// memory, of a ctx that ended whatever would have followed.
func (r *Ring) Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		v, err := r.prepare(q)
		if err != nil {
			yield(nil, err)
			return
		}
		defer v.done()
		failed := v.lacking
		for _, p := range v.pieces {
			for c, err := range v.read(p) {
				if ctx.Err() != nil {
					yield(nil, ctx.Err())
					return
				}
				if err != nil {
					// One block that cannot be read is no reason to lose the others.
					err = fmt.Errorf("read the block of %d: %w", p.start, err)
					r.note(err)
					failed = errors.Join(failed, err)
					break
				}
				if !yield(c, nil) {
					return
				}
			}
		}
		if failed != nil {
			yield(nil, failed)
		}
	}
}

// A view is one consistent look at the ring.
type view struct {
	query   model.Query
	pieces  []piece
	it      *pebble.Iterator // nil if no stored block is among the pieces
	lacking error            // why stored blocks are not among the pieces
	done    func()
}

// read yields the chunks of a piece.
func (v *view) read(p piece) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if p.chunks != nil {
			for _, c := range p.chunks {
				if !yield(c, nil) {
					return
				}
			}
			return
		}
		want := prefix(&v.query, p.seq)
		for v.it.SeekGE(want); v.it.Valid() && bytes.HasPrefix(v.it.Key(), want); v.it.Next() {
			if v.query.Pods && v.it.Key()[len(chunkPrefix(0))] == 0 {
				continue // the node's own
			}
			c, err := v.it.ValueAndErr()
			if !yield(c, err) || err != nil {
				return
			}
		}
		if err := v.it.Error(); err != nil {
			yield(nil, err)
		}
	}
}

// prepare takes one consistent view of the ring: which blocks, and an iterator
// over the stored ones. done must be called when there is no error.
func (r *Ring) prepare(q model.Query) (*view, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	v := &view{query: q, done: func() {}}
	memory := r.inMemory()
	if r.store == nil && (len(memory) == 0 || q.From < memory[0].first()) {
		v.lacking = fmt.Errorf("history on disk cannot be read: %w", r.err)
	}
	if r.store != nil {
		for i := range r.stored {
			if b := &r.stored[i]; b.overlaps(q.From, q.To) {
				v.pieces = append(v.pieces, piece{start: b.Start, seq: b.Seq})
			}
		}
		if len(v.pieces) > 0 {
			it, err := r.store.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyChunk}, UpperBound: []byte{keyChunk + 1}})
			if err != nil {
				return nil, fmt.Errorf("read the ring: %w", err)
			}
			r.readers.Add(1)
			v.it = it
			v.done = func() {
				defer r.readers.Done()
				_ = it.Close() // says once more what reading said
			}
		}
	}
	for _, b := range memory {
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
		v.pieces = append(v.pieces, p)
	}
	slices.SortStableFunc(v.pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.seq, b.seq))
	})
	return v, nil
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
	v, err := r.prepare(q)
	if err != nil {
		return false, err
	}
	defer v.done()
	for _, p := range slices.Backward(v.pieces) {
		for _, err := range v.read(p) {
			return err == nil, err
		}
	}
	return false, v.lacking
}
