package pods

import (
	"hash/maphash"
	"maps"
	"sync"
	"weak"
)

// Labels are a pod's labels. They never change, and pods with the same ones share
// them, so what was found out of one pointer holds for all pods that have it. No
// labels are nil, which all methods take.
type Labels struct{ set map[string]string }

// Has tells whether there is such a label. It implements
// k8s.io/apimachinery/pkg/labels.Labels, as Get and Lookup do.
func (l *Labels) Has(label string) bool {
	_, ok := l.Map()[label]
	return ok
}

// Get is a label's value, empty if there is none.
func (l *Labels) Get(label string) string { return l.Map()[label] }

// Lookup is a label's value, and whether there is one.
func (l *Labels) Lookup(label string) (string, bool) {
	value, ok := l.Map()[label]
	return value, ok
}

// Map has them all. It is shared and must not be changed.
func (l *Labels) Map() map[string]string {
	if l == nil {
		return nil
	}
	return l.set
}

// maxStrings bounds the strings that an interner hands out again: there are some
// 10,000 names of nodes and namespaces, and keys and values of labels, that many pods
// of a large cluster share. With 48 bytes each, they and the map are 3 MB.
const maxStrings = 1 << 15

// An interner has pods share what is the same. It is safe for concurrent use.
type interner struct {
	hash func(set map[string]string) uint64

	mu sync.Mutex
	// sets are those in use, and until they are full some that are not any more, by
	// hash. Of two with the same hash, the one seen last is shared.
	sets map[uint64]weak.Pointer[Labels]
	full int
	// strings are forgotten when there are too many. Those in use stay in use, and
	// what comes then is shared anew.
	strings map[string]string
}

func newInterner() *interner {
	seed := maphash.MakeSeed()
	return &interner{
		hash: func(set map[string]string) (sum uint64) {
			for key, value := range set { // in any order
				sum += maphash.Comparable(seed, [2]string{key, value})
			}
			return sum
		},
		sets: map[uint64]weak.Pointer[Labels]{}, strings: map[string]string{},
	}
}

// labels are the Labels of a set, which stays the caller's.
func (i *interner) labels(set map[string]string) *Labels {
	if len(set) == 0 {
		return nil
	}
	hash := i.hash(set)
	i.mu.Lock()
	defer i.mu.Unlock()
	if known := i.sets[hash].Value(); known != nil && maps.Equal(known.set, set) {
		return known
	}
	l := &Labels{make(map[string]string, len(set))}
	for key, value := range set {
		l.set[i.shared(key)] = i.shared(value)
	}
	if len(i.sets) >= i.full {
		i.tidy()
	}
	i.sets[hash] = weak.Make(l)
	return l
}

// tidy forgets the sets that nobody has any more. The caller holds i.mu.
func (i *interner) tidy() {
	maps.DeleteFunc(i.sets, func(_ uint64, l weak.Pointer[Labels]) bool { return l.Value() == nil })
	i.full = 2*len(i.sets) + 1000 // so it is seldom done
}

// count is how many sets were in use when garbage was last collected.
func (i *interner) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tidy()
	return len(i.sets)
}

// string is a string that many pods have.
func (i *interner) string(s string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.shared(s)
}

// shared is the same for a caller that holds i.mu.
func (i *interner) shared(s string) string {
	if known, ok := i.strings[s]; ok {
		return known
	}
	if len(i.strings) >= maxStrings {
		clear(i.strings)
	}
	i.strings[s] = s
	return s
}
