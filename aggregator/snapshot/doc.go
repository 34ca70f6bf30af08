// Package snapshot keeps the newest scrape of every node, and which nodes have
// had which pods.
//
// It asks only when someone wants to know. The first question in a slot sends all
// nodes one question, a flight, which everyone else who asks meanwhile shares; until
// the next slot is shown the answer is what there is to know. While somebody wants to
// know slot after slot, the flight begins before its slot is shown, and nobody waits.
// So all values of a snapshot are of one slot, the same in every aggregator. A node
// that fails keeps its last values for [model.StaleSlots] slots: its outcome is stale
// then, with their age.
//
// With its scrape a node names the pods of which it has older samples. From
// these names comes the directory: a question about one pod goes to the nodes
// that have it, and not to thousands that do not.
//
//	snapshot.go  flights: when to ask, whom, who waits
//	ahead.go     the slot that is not shown yet
//	table.go     what is known of each node
//	answer.go    what one node said
//	index.go     pods by namespace and name, and their nodes
//	view.go      one snapshot, as it is read
package snapshot
