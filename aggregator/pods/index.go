package pods

import (
	"iter"
	"slices"
)

// maxChunk is the most pods of one chunk. A change copies a chunk and the list of
// chunks: of n pods 8·maxChunk + 24·n/(¾·maxChunk) bytes, which for 150,000 is least
// at 775, 12 KB; at 100 changes a second that is 1.2 MB a second of garbage.
const maxChunk = 768

// An index has pods by namespace and name. It never changes, so that whoever reads it
// has all pods as they were at one time, and waits for nobody: a change makes another
// index, which shares all but one chunk.
type index struct {
	chunks [][]*Pod // sorted, as they are and in themselves; none is empty
	pods   int
}

// indexOf is the index of pods that are given in any order. The slice is the index's.
func indexOf(pods []*Pod) *index {
	order := func(a, b *Pod) int { return a.compare(b.Namespace, b.Name) }
	slices.SortFunc(pods, order)
	pods = slices.CompactFunc(pods, func(a, b *Pod) bool { return order(a, b) == 0 }) // of no API server
	x := &index{pods: len(pods)}
	for some := range slices.Chunk(pods, maxChunk*3/4) { // so that none is split soon
		x.chunks = append(x.chunks, slices.Clone(some))
	}
	return x
}

// find is where a pod is, or would be: before the pod at that place, which may be
// just behind the last one.
func (x *index) find(namespace, name string) (chunk, at int, found bool) {
	chunk, _ = slices.BinarySearchFunc(x.chunks, name, func(some []*Pod, name string) int {
		return some[len(some)-1].compare(namespace, name)
	})
	if chunk == len(x.chunks) {
		return chunk, 0, false
	}
	at, found = slices.BinarySearchFunc(x.chunks[chunk], name, func(p *Pod, name string) int {
		return p.compare(namespace, name)
	})
	return chunk, at, found
}

// get is a pod, nil if there is none.
func (x *index) get(namespace, name string) *Pod {
	chunk, at, found := x.find(namespace, name)
	if !found {
		return nil
	}
	return x.chunks[chunk][at]
}

// all are the pods of a namespace, in order; of all if it is empty.
func (x *index) all(namespace string) iter.Seq[*Pod] {
	return func(yield func(*Pod) bool) {
		chunk, at, _ := x.find(namespace, "")
		for ; chunk < len(x.chunks); chunk++ {
			for _, p := range x.chunks[chunk][at:] {
				if namespace != "" && p.Namespace != namespace || !yield(p) {
					return
				}
			}
			at = 0
		}
	}
}

// with is the index with a pod, instead of the one that has its name, if any.
func (x *index) with(p *Pod) *index {
	chunk, at, found := x.find(p.Namespace, p.Name)
	switch {
	case found:
		changed := slices.Clone(x.chunks[chunk])
		changed[at] = p
		return x.replace(chunk, 1, 0, changed)
	case len(x.chunks) == 0:
		return x.replace(0, 0, 1, []*Pod{p})
	case chunk == len(x.chunks): // behind all others
		chunk, at = chunk-1, len(x.chunks[chunk-1])
	}
	old := x.chunks[chunk]
	changed := slices.Concat(old[:at], []*Pod{p}, old[at:])
	if half := len(changed) / 2; len(changed) > maxChunk {
		return x.replace(chunk, 1, 1, slices.Clone(changed[:half]), slices.Clone(changed[half:]))
	}
	return x.replace(chunk, 1, 1, changed)
}

// without is the index without a pod; itself if there is none.
func (x *index) without(namespace, name string) *index {
	chunk, at, found := x.find(namespace, name)
	if !found {
		return x
	}
	changed := slices.Concat(x.chunks[chunk][:at], x.chunks[chunk][at+1:])
	joins := func(other int) bool { // so that chunks are not many and almost empty
		return other >= 0 && other < len(x.chunks) && len(changed)+len(x.chunks[other]) <= maxChunk/2
	}
	switch next, last := chunk+1, chunk-1; {
	case len(changed) == 0:
		return x.replace(chunk, 1, -1)
	case joins(next):
		return x.replace(chunk, 2, -1, slices.Concat(changed, x.chunks[next]))
	case joins(last):
		return x.replace(last, 2, -1, slices.Concat(x.chunks[last], changed))
	}
	return x.replace(chunk, 1, -1, changed)
}

// replace is the index with other chunks instead of n from one on, which have that
// many pods more.
func (x *index) replace(from, n, more int, chunks ...[]*Pod) *index {
	return &index{chunks: slices.Concat(x.chunks[:from], chunks, x.chunks[from+n:]), pods: x.pods + more}
}
