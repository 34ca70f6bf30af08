package standin

import (
	"fmt"
	"hash/fnv"
)

// A dice makes the same choices for the same seed, in any order of asking: it
// holds no position, only an identity. What has to differ (a node, a pod, a
// generation) goes into [dice.of].
type dice uint64

// newDice is the dice of one node in one fleet.
func newDice(seed int64, node string) dice {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s", seed, node)
	return dice(h.Sum64()).of(0)
}

// of is the dice of one part of what d stands for. The mixing is SplitMix64
// (Steele, Lea, Flood 2014): every bit of x changes half of the result's bits.
func (d dice) of(x int64) dice {
	z := uint64(d) + uint64(x)*0x9e3779b97f4a7c15 + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return dice(z ^ z>>31)
}

// between is a number from low to high, both included.
func (d dice) between(low, high int64) int64 {
	return low + int64(uint64(d)%uint64(high-low+1))
}

// oneIn is true once in n.
func (d dice) oneIn(n int64) bool { return d.between(1, n) == 1 }

// suffix is five characters as Kubernetes appends them to generated names.
func (d dice) suffix() string {
	// The alphabet of k8s.io/apimachinery/pkg/util/rand: no vowels, hence no
	// words, and none of 0, 1 and 3.
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	var s [5]byte
	for i := range s {
		s[i] = alphabet[d.of(int64(i)).between(0, int64(len(alphabet))-1)]
	}
	return string(s[:])
}

// uuid is a version 4 UUID, the form of a Kubernetes UID.
func (d dice) uuid() string {
	high, low := uint64(d.of(1)), uint64(d.of(2))
	high = high&^0xf000 | 0x4000     // version 4
	low = low&^(0b11<<62) | 0b10<<62 // the variant of RFC 9562
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", high>>32, high>>16&0xffff, high&0xffff, low>>48, low&(1<<48-1))
}
