// Package ring keeps the node's history: the samples of every slot, for a
// fixed time of measuring, in Pebble.
//
// History is cut into blocks of 15 minutes. The open block lives in memory as
// one growing chunk per group (the node, each pod); each slot, what grew is
// written as one synced record. When a block closes, its chunks are written in
// one batch and the records are overwritten by the next block's. Old blocks
// are deleted by range, oldest written first. The keys:
//
//	m                                              schema version
//	h <index of the slot in its block>             record of the open block
//	b <sequence number>                            a closed block: BlockInfo as JSON
//	c <sequence number> <namespace>\0<pod>\0<UID>  a chunk of that block; the node's has no names
//
// A block is known by its sequence number, not by its time: when the clock
// jumps back, or the resolution changes, a new block begins and nothing that
// is stored is overwritten. Readers sort by time; of two samples for the same
// slot, the one written later counts.
//
// When the store cannot be opened or written, sampling goes on in memory, and
// what is in memory is written when the store is back.
package ring
