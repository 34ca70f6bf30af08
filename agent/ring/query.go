package ring

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

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
	chunks []entry // nil: stored
}

// Chunks yields the coded chunks that answer the query: block by block, by
// time and, for blocks of the same time, in the order in which they were
// written; within a block by namespace, name and UID. The bytes are valid
// until the next step. An error comes last: of a block that cannot be read the
// rest is missing, of a ring whose store cannot be used all that is not in
// memory, of a ctx that ended whatever would have followed.
func (r *Ring) Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		v, err := r.prepare(q, false)
		if err != nil {
			yield(nil, err)
			return
		}
		defer v.done()
		failed := v.lacking
		for _, p := range v.pieces {
			for e, err := range v.entries(p) {
				if ctx.Err() != nil {
					yield(nil, ctx.Err())
					return
				}
				if err != nil {
					// One block that cannot be read is no reason to lose the others.
					failed = errors.Join(failed, err)
					break
				}
				if !yield(e.value, nil) {
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
	names   bool // keys are wanted, no chunks
	pieces  []piece
	store   *store           // nil if no stored block is among the pieces
	it      *pebble.Iterator // of the store
	lacking error            // why stored blocks are not among the pieces
}

// An entry is a chunk and its key.
type entry struct{ key, value []byte }

// entries yields the chunks of a piece, or only their names, and the error that
// ends them. A store that cannot be read is to be looked at, and perhaps to be
// set aside.
func (v *view) entries(p piece) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
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
			if v.store.closing.Load() {
				yield(entry{}, fmt.Errorf("read the block of %d: %w", p.start, cmp.Or(v.store.broken(), errClosed)))
				return
			}
			e := entry{key: v.it.Key()}
			if v.query.Pods && e.key[len(chunkPrefix(0))] == 0 {
				continue // the node's own
			}
			if !v.names {
				e.value, _ = v.it.ValueAndErr() // the iterator keeps the error
			}
			if v.it.Error() != nil || !yield(e, nil) {
				break
			}
		}
		if err := v.it.Error(); err != nil {
			err = fmt.Errorf("read the block of %d: %w", p.start, err)
			v.store.fail(err)
			yield(entry{}, err)
		}
	}
}

// done ends the view.
func (v *view) done() {
	if v.store != nil {
		_ = v.it.Close() // says once more what reading said
		v.store.readers.Done()
	}
}

// prepare takes one consistent view of the ring: which blocks, and an iterator
// over the stored ones, with names only if their chunks do not matter. done must
// be called when there is no error.
func (r *Ring) prepare(q model.Query, names bool) (*view, error) {
	v, err := r.survey(q, names)
	if err != nil || v.store == nil {
		return v, err
	}
	// Without the ring's lock: it may have to wait for Pebble, which may have
	// to wait for the disk.
	v.it, err = v.store.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyChunk}, UpperBound: []byte{keyChunk + 1}})
	if err != nil {
		v.store.readers.Done()
		return nil, fmt.Errorf("read the ring: %w", err)
	}
	return v, nil
}

// survey finds the pieces, and copies those in memory: 400 KB of a full node,
// unless names are enough.
func (r *Ring) survey(q model.Query, names bool) (*view, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	v := &view{query: q, names: names}
	memory := r.inMemory()
	if r.store == nil && (len(memory) == 0 || q.From < memory[0].first()) {
		v.lacking = fmt.Errorf("history on disk cannot be read: %w", cmp.Or(r.state(), errOpening))
	}
	if r.store != nil {
		lost := 0
		for i := range r.stored {
			if b := &r.stored[i]; b.overlaps(q.From, q.To) {
				v.pieces = append(v.pieces, piece{start: b.Start, seq: b.Seq})
				lost += b.Lost
			}
		}
		if lost > 0 {
			v.lacking = fmt.Errorf("%d chunks of this time were lost with a damaged store; see /debug/ring", lost)
		}
		if len(v.pieces) > 0 {
			v.store = r.store
			v.store.readers.Add(1)
		}
	}
	for _, b := range memory {
		info := b.info(b.last)
		if !info.overlaps(q.From, q.To) {
			continue
		}
		p := piece{start: b.start, seq: b.seq, chunks: []entry{}}
		for _, g := range b.groups {
			if !matches(&q, g.Header().Pod) {
				continue
			}
			e := entry{key: chunkKey(b.seq, g.Header().Pod)}
			if !names {
				e.value = g.AppendChunk(nil)
			}
			p.chunks = append(p.chunks, e)
		}
		slices.SortFunc(p.chunks, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
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

// Pods lists the pods that have chunks which answer the query, by namespace,
// name and UID. With an error the list is what could be read.
func (r *Ring) Pods(ctx context.Context, q model.Query) ([]model.PodRef, error) {
	v, err := r.prepare(q, true)
	if err != nil {
		return nil, err
	}
	defer v.done()
	failed := v.lacking
	names := map[string]struct{}{}
	for _, p := range v.pieces {
		for e, err := range v.entries(p) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				failed = errors.Join(failed, err)
				break
			}
			name := e.key[len(chunkPrefix(0)):]
			if _, ok := names[string(name)]; !ok {
				names[string(name)] = struct{}{}
			}
		}
	}
	pods := make([]model.PodRef, 0, len(names))
	for name := range names {
		if parts := strings.Split(name, "\x00"); len(parts) == 3 {
			pods = append(pods, model.PodRef{Namespace: parts[0], Name: parts[1], UID: parts[2]})
		}
	}
	slices.SortFunc(pods, model.PodRef.Compare)
	return pods, failed
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
	v, err := r.prepare(q, true)
	if err != nil {
		return false, err
	}
	defer v.done()
	for _, p := range slices.Backward(v.pieces) {
		for _, err := range v.entries(p) {
			return err == nil, err
		}
	}
	return false, v.lacking
}
