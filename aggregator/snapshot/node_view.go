package snapshot

import (
	"slices"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// A NodeView is what a view has of one node. It never changes.
type NodeView struct{ *seen }

// On is what the view has of a node; ok is false if the node is not expected.
func (v *View) On(node string) (n NodeView, ok bool) {
	i, ok := slices.BinarySearch(v.expected, node)
	if !ok {
		return n, false
	}
	return NodeView{&v.seen[i]}, true
}

// Name is the node's.
func (n NodeView) Name() string { return n.name }

// Missing says what is wrong with the node's answer, nil if nothing. It may have
// values all the same: a part of them, or older ones.
func (n NodeView) Missing() *coverage.Missing { return n.missing }

// Newest is the slot of the newest scrape that the node told of when it was asked for
// the view's slot, in Unix seconds; 0 if it has none that is shown. ok is false if it
// did not answer, or not in full.
func (n NodeView) Newest() (slot int64, ok bool) {
	if n.answer == nil {
		return 0, n.current
	}
	return n.answer.slot, n.current
}

// Pending tells that the node's answer for the view's slot is still on its way.
func (n NodeView) Pending() bool { return n.pending }

// Own is the chunk of the node itself, of one slot; nil if there is none.
func (n NodeView) Own() []byte {
	if n.answer == nil || n.answer.own == nil {
		return nil
	}
	return n.answer.own[0]
}

// In are the chunks of all pods of a namespace, by name, of one slot.
func (n NodeView) In(namespace string) [][]byte {
	if n.answer == nil {
		return nil
	}
	pods := n.answer.pods
	from, _ := n.answer.find(namespace, "")
	to := from
	for to < len(pods) && string(namesOf(pods[to]).Namespace) == namespace {
		to++
	}
	return pods[from:to]
}

// Pods are the chunks of the pods of that name, of one slot: more than one if the
// pod is there under several UIDs.
func (n NodeView) Pods(namespace, name string) [][]byte {
	if n.answer == nil {
		return nil
	}
	from, ok := n.answer.find(namespace, name)
	if !ok {
		return nil
	}
	to := from + 1
	for n.answer.twice && to < len(n.answer.pods) && compareName(n.answer.pods[to], namespace, name) == 0 {
		to++
	}
	return n.answer.pods[from:to]
}
