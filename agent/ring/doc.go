// Package ring keeps the node's history: the samples of every slot, for a
// fixed time of measuring, in Pebble.
//
// History is cut into blocks of 15 minutes. The open block lives in memory as
// one growing chunk per group (the node, each pod); each slot, what grew is
// written as one synced record. When a block closes, its chunks are written in
// one batch and the records are overwritten by the next block's. Old blocks
// are deleted by range, oldest written first. The keys:
//
//	c <sequence number> <namespace>\0<pod>\0<UID>  a chunk of that block; the node's has no names
//	d <sequence number>                            a closed block: BlockInfo as JSON
//	h <index of the slot in its block>             record of the open block
//	m                                              schema version
//
// A block is known by its sequence number, not by its time: when the clock
// jumps back, or the resolution changes, a new block begins and nothing that
// is stored is overwritten. Readers sort by time; of two samples for the same
// slot, the one written later counts.
//
// The store is in the hands of one goroutine, the writer, so that a disk that is
// slow or hangs keeps nobody else waiting. While the store cannot be written,
// samples are kept in memory, for two hours at least, and written when it can
// be; while it can be read, it is. A write that fails is no error to Pebble,
// which would end the process or spin, but the end of this use of the store: it
// is closed, and opened again as after a crash; see guard. A store is read in
// full before it is written, and a damaged one is set aside, never changed; what
// can be read of it goes into a new one.
//
// What a crash costs: every slot whose Append returned nil was synced, and is
// there after kill −9 and after a power loss, if the disk keeps what it said it
// had synced. So the most that is lost is the slot under way: one resolution,
// 15 s. A sync for each slot costs 0.1 to 0.35 ms of a slot's CPU time, and not
// to sync would lose up to 32 KiB of Pebble's log, five to ten slots, even when
// only the process is killed.
package ring
