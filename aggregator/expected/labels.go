package expected

import (
	"cmp"
	"slices"
)

// Labels are the labels of a node as they were when they were asked for. They never
// change. The zero value has none.
type Labels struct{ of []label } // by key

// Has tells whether there is such a label. It implements
// k8s.io/apimachinery/pkg/labels.Labels, as Get and Lookup do.
func (l Labels) Has(key string) bool {
	_, ok := l.Lookup(key)
	return ok
}

// Get is a label's value, empty if there is none.
func (l Labels) Get(key string) string {
	value, _ := l.Lookup(key)
	return value
}

// Lookup is a label's value, and whether there is one.
func (l Labels) Lookup(key string) (string, bool) {
	i, ok := slices.BinarySearchFunc(l.of, key, func(l label, key string) int { return cmp.Compare(l.key.Value(), key) })
	if !ok {
		return "", false
	}
	return l.of[i].value.Value(), true
}

// Map has them all. It is made for the caller: of 24 labels, 2 KB.
func (l Labels) Map() map[string]string {
	all := make(map[string]string, len(l.of))
	for _, l := range l.of {
		all[l.key.Value()] = l.value.Value()
	}
	return all
}
