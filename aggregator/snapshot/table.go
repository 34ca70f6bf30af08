package snapshot

import (
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// A node is what is known of one node. It is under the snapshot's lock.
type node struct {
	name   string
	number int32
	answer *answer // the last that could be used; nil: none
	// tried is the slot of the last flight in which it was to be asked; result is
	// how that ended, at failed.
	tried  int64
	result fanout.Result
	failed time.Time

	expected uint64 // the table's mark when it was last expected
	past     int    // pods of the node in the index that are gone, or more
}

// bound adds the changes of a new answer to others, as long as the node has not
// had too many pods; from then on it is one that cannot say which it had.
func (n *node) bound(changes, more []change) []change {
	for _, c := range more {
		switch {
		case c.gone == 0:
		case n.past < maxPlaces:
			n.past++
		default:
			a := *n.answer
			a.listed, n.answer = 0, &a
			c.gone = forgotten
		}
		changes = append(changes, c)
	}
	return changes
}

// wants tells whether to ask the node in a flight for that slot.
func (n *node) wants(slot int64, now time.Time) bool {
	retry := n.retry(slot)
	return n.tried != slot || (!retry.IsZero() && !now.Before(retry))
}

// retry is when to ask the node once more for that slot, as it failed; the zero
// time is not to. A node that has nothing of the slot yet does not say more in it.
func (n *node) retry(slot int64) time.Time {
	if n.tried != slot || n.result.Outcome == coverage.OK {
		return time.Time{}
	}
	return n.failed.Add(retryAfter)
}

// A table numbers nodes, so that a place in the index is small.
type table struct {
	all     []*node // by number; nil: free
	numbers map[string]int32
	unused  []int32
	mark    uint64
}

// begin takes note of who is expected from now on.
func (t *table) begin(expected []string) {
	t.mark++
	for _, name := range expected {
		number, ok := t.numbers[name]
		if !ok {
			if last := len(t.unused) - 1; last >= 0 {
				number, t.unused = t.unused[last], t.unused[:last]
			} else {
				number = int32(len(t.all))
				t.all = append(t.all, nil)
			}
			t.numbers[name] = number
			t.all[number] = &node{name: name, number: number}
		}
		t.all[number].expected = t.mark
	}
}

// of is an expected node.
func (t *table) of(name string) *node { return t.all[t.numbers[name]] }

// drop removes the nodes that are not expected any more, and returns their
// numbers, or nil; they are not given to others before free.
func (t *table) drop() map[int32]bool {
	var dropped map[int32]bool
	for number, n := range t.all {
		if n == nil || n.expected == t.mark {
			continue
		}
		if dropped == nil {
			dropped = map[int32]bool{}
		}
		dropped[int32(number)] = true
		t.all[number] = nil
		delete(t.numbers, n.name)
	}
	return dropped
}

// free lets the numbers be used again, as nothing refers to them any more.
func (t *table) free(numbers map[int32]bool) {
	for number := range numbers {
		t.unused = append(t.unused, number)
	}
}
