package dashboard

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Target is an aggregator that is tested, and what is known of its fleet, which has
// to be well meanwhile.
type Target struct {
	// Client asks it.
	Client *Client
	// Resolution is the distance of slots, Window how much history is told.
	Resolution, Window time.Duration
	// Pods of Namespace have run for some slots; there are two at least, on different
	// nodes. Nodes are two at least, too.
	Namespace string
	Pods      []string
	Nodes     []string
	// Names is how many names of 26 characters a path has room for.
	Names int
	Truth Truth
}

// A Truth knows what was measured. It is asked by one goroutine at a time.
type Truth interface {
	// Pods returns what pods of a namespace used in the slots from from to to, both
	// included, in Unix seconds, by name.
	Pods(ctx context.Context, namespace string, m Metric, from, to int64) (map[string]Parts, error)
	// Nodes returns the same of nodes; each has one part.
	Nodes(ctx context.Context, m Metric, from, to int64) (map[string]Parts, error)
}

// Parts are what adds up to a pod's value, its containers by name: what each used, by
// slot, in millicores, rounded half up, or in bytes.
type Parts map[string]map[int64]uint64

// Whole is the sum of the parts in a slot, if all parts that there are around it were
// measured in it.
func (p Parts) Whole(slot, seconds int64) (sum uint64, ok bool) {
	for _, values := range p {
		v, measured := values[slot]
		if !measured && around(values, slot, seconds) {
			return 0, false
		}
		ok = ok || measured
		sum += v
	}
	return sum, ok
}

// longest is how many slots a gap has that is filled.
const longest = 2

// around tells whether there is something in the slots that a filled gap would have for
// neighbours.
func around(values map[int64]uint64, slot, seconds int64) bool {
	for i := int64(1); i <= longest+1; i++ {
		_, before := values[slot-i*seconds]
		_, after := values[slot+i*seconds]
		if before || after {
			return true
		}
	}
	return false
}

// slots are how many the window has at most, both ends included.
func (t *Target) slots() int { return int(t.Window/t.Resolution) + 1 }

func (t *Target) seconds() int64 { return int64(t.Resolution / time.Second) }

// validate says what the checks cannot do without.
func (t *Target) validate() error {
	if t.Client == nil || t.Truth == nil || t.Resolution < time.Second || t.Window < t.Resolution {
		return errors.New("the target lacks a client, a truth, a resolution or a window")
	}
	if len(t.Pods) < 2 || len(t.Nodes) < 2 || t.Names < 2*len(t.Pods) {
		return fmt.Errorf("%d pods, %d nodes and %d names are too few to tell", len(t.Pods), len(t.Nodes), t.Names)
	}
	return nil
}
