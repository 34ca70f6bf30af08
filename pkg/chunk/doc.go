// Package chunk codes the samples of one group (a node, or a pod with its
// containers) over one block of 15 minutes. The same bytes go to disk and over
// the wire.
//
// A chunk is a header (who, which block, which resolution) and a body of
// tuples, one for each slot that has samples. A tuple holds one row for each
// entity that was there. A row says which metrics changed and by how much:
//
//	tuple = uvarint(slots since the previous tuple << 1 | set changed)
//	        [ uvarint(n) n × (uvarint(len) name, zigzag(start − block start))
//	          bitmap of the entities that have a row, one bit per entity so far ]
//	        row…
//	row   = uvarint(mask of changed metrics << 1 | presence changed)
//	        [ uvarint(0: the presence before this one | mask of present metrics + 1) ]
//	        delta…, one per changed metric
//
// A delta is a zigzag varint of the difference modulo 2^64, so every uint64
// goes through, counter resets and underflows included. What comes in pages is
// coded in pages, the working set as its distance from usage, the time of
// measurement as its distance from the slot: they repeat, and what repeats
// costs nothing.
//
// Tuples only ever refer back, so a chunk can be cut after any tuple: the open
// block is written to disk tuple by tuple, and closing it is concatenation.
package chunk
