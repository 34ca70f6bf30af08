package ring

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// schemaVersion is the version of the keys and of what is behind them.
const schemaVersion = 1

// The first byte of a key says what it is; see the package comment. Chunks come
// first, the newest last: then what is written together, a block's chunks and
// what follows them, lies behind all older chunks, and compactions leave those
// alone.
const (
	keyChunk  = 'c'
	keyBlock  = 'd'
	keyRecord = 'h'
	keySchema = 'm'
)

func recordKey(index int) []byte {
	return binary.BigEndian.AppendUint16([]byte{keyRecord}, uint16(index))
}

func blockKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyBlock}, seq)
}

// chunkPrefix is the prefix of all chunks of a block.
func chunkPrefix(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyChunk}, seq)
}

func chunkKey(seq uint64, pod model.PodRef) []byte {
	k := append(chunkPrefix(seq), pod.Namespace...)
	k = append(append(k, 0), pod.Name...)
	return append(append(k, 0), pod.UID...)
}

// keySeq is the sequence number in the key of a block or a chunk.
func keySeq(k []byte) (seq uint64, ok bool) {
	if len(k) < 9 || (k[0] != keyBlock && k[0] != keyChunk) {
		return 0, false
	}
	return binary.BigEndian.Uint64(k[1:]), true
}

// A store is the ring's Pebble database. Its writes are not safe for
// concurrent use.
type store struct {
	db       *pebble.DB
	dir      string
	guard    *guard
	readOnly bool
	readers  sync.WaitGroup
	closing  atomic.Bool // readers are to stop
	failure  atomic.Pointer[error]
	onFail   func(error)
}

// fail notes the first reason for which the store is to be closed: a write
// that failed, background work that did, damage that was found. Pebble's
// goroutines call it, perhaps under Pebble's locks: it must not call Pebble.
func (s *store) fail(err error) {
	if s.failure.CompareAndSwap(nil, &err) {
		s.onFail(err)
	}
}

// broken is why the store is to be closed, nil if it is not. A write counts
// only if broken is nil after it. It asks the guard itself, which is frozen
// before it tells: what another goroutine wrote in between went nowhere.
func (s *store) broken() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	if err := s.guard.err(); err != nil && !s.readOnly {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// A listener is what the store reports of its own accord.
type listener struct {
	log *slog.Logger
	// failed hears of what makes the store to be closed.
	failed func(error)
	// fatal must not return: Pebble has no other way out.
	fatal func(error)
}

// openStore opens the store in dir. Only if create is set it may be a new one;
// only if not readOnly anything in dir is changed.
func openStore(cfg Config, dir string, readOnly, create bool, l listener) (st *store, err error) {
	s := &store{dir: dir, readOnly: readOnly, onFail: l.failed}
	s.guard = newGuard(cfg.FS, func(err error) {
		if !readOnly {
			s.fail(fmt.Errorf("write: %w", err))
		}
	})
	if readOnly {
		s.guard.freeze(errReadOnly)
	}
	// Pebble panics on some of what it finds in damaged files.
	defer func() {
		if p := recover(); p != nil {
			st, err = nil, fmt.Errorf("panic of Pebble: %v", p)
		}
	}()
	o := options(s, l)
	o.ReadOnly, o.ErrorIfNotExists = readOnly, !create
	if cfg.Tune != nil {
		cfg.Tune(o)
	}
	if s.db, err = pebble.Open(dir, o); err != nil {
		return nil, err
	}
	if create {
		err = s.db.Set([]byte{keySchema}, []byte{schemaVersion}, pebble.Sync)
	}
	if err = errors.Join(err, s.broken()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// writeRecord writes what grew in the open block; when it returns nil, it is
// on disk.
func (s *store) writeRecord(index int, record []byte) error {
	return errors.Join(s.db.Set(recordKey(index), record, pebble.Sync), s.broken())
}

// writeBlock writes a closed block; when it returns nil, it is on disk.
func (s *store) writeBlock(b *block) (BlockInfo, error) {
	info := b.info(len(b.taken))
	batch := s.db.NewBatch()
	var buf []byte
	for _, g := range b.groups {
		buf = g.AppendChunk(buf[:0])
		if err := batch.Set(chunkKey(b.seq, g.Header().Pod), buf, nil); err != nil {
			return info, errors.Join(err, batch.Close())
		}
	}
	meta, err := json.Marshal(info)
	if err != nil {
		return info, errors.Join(err, batch.Close())
	}
	if err := batch.Set(blockKey(b.seq), meta, nil); err != nil {
		return info, errors.Join(err, batch.Close())
	}
	return info, errors.Join(batch.Commit(pebble.Sync), batch.Close(), s.broken())
}

// deleteBlocks deletes the blocks before seq. Chunks are cut out of the tables
// instead of being marked as deleted: most tables go as a whole, and none is
// written anew. If that is cut short, the next call does it.
func (s *store) deleteBlocks(seq uint64) error {
	if err := s.db.DeleteRange(blockKey(0), blockKey(seq), pebble.Sync); err != nil {
		return err
	}
	if err := s.broken(); err != nil {
		return err
	}
	err := s.db.Excise(context.Background(), pebble.KeyRange{Start: chunkPrefix(0), End: chunkPrefix(seq)})
	return errors.Join(err, s.broken())
}

func (s *store) diskBytes() int64 { return int64(s.db.Metrics().DiskSpaceUsage()) }

// close waits for the readers, whom it tells to stop, and closes the database.
func (s *store) close() error {
	s.closing.Store(true)
	s.readers.Wait()
	return s.db.Close()
}

// abandon makes close change nothing on disk, as after a crash.
func (s *store) abandon() { s.guard.freeze(errAbandoned) }

// list is what a store holds.
type list struct {
	blocks  []BlockInfo // oldest written first
	open    *block      // nil if there is none
	lost    error       // what of the open block is lost
	nextSeq uint64      // after those of all blocks and records, also useless ones
}

// load reads all of the store, so that Pebble checks each checksum, and lists
// what it holds. Errors that wrap errSchema are about a store of another
// version; all others about one that cannot be read in full.
func (s *store) load() (list, error) {
	if err := s.checkSchema(); err != nil {
		return list{}, err
	}
	var l list
	var heads []recordHead // of the newest block that has records
	chunks := map[uint64]int{}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return l, err
	}
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			break // it.Close says it, too
		}
		switch seq, _ := keySeq(it.Key()); it.Key()[0] {
		case keyBlock:
			var info BlockInfo
			err := json.Unmarshal(v, &info)
			if err == nil {
				err = info.validate()
			}
			if err != nil {
				return l, errors.Join(fmt.Errorf("list of blocks: %w", err), it.Close())
			}
			l.blocks = append(l.blocks, info)
			l.nextSeq = max(l.nextSeq, info.Seq+1)
		case keyChunk:
			chunks[seq]++
		case keyRecord:
			h, err := parseRecord(slices.Clone(v))
			if err != nil {
				l.lost = errors.Join(l.lost, err)
				break
			}
			heads = newestRecords(heads, h)
			l.nextSeq = max(l.nextSeq, h.seq+1)
		}
	}
	if err := it.Close(); err != nil {
		return l, err
	}
	l.replay(heads)
	return l, errors.Join(l.check(chunks), s.forgotten(&l, chunks))
}

// check compares the chunks that there are, by block, with those of the list.
func (l *list) check(chunks map[uint64]int) error {
	listed := 0
	for i := range l.blocks {
		b := &l.blocks[i]
		if n := chunks[b.Seq]; n != b.Groups {
			return fmt.Errorf("the block of %d has %d of its %d chunks", b.Start, n, b.Groups)
		}
		if b.Groups > 0 {
			listed++
		}
	}
	for seq := range chunks {
		if len(l.blocks) > 0 && seq < l.blocks[0].Seq {
			listed++ // no more: of a deletion that was cut short
		}
	}
	if n := len(chunks) - listed; n > 0 {
		return fmt.Errorf("chunks of %d blocks that are not listed", n)
	}
	return nil
}

func (s *store) checkSchema() error {
	v, closer, err := s.db.Get([]byte{keySchema})
	if err != nil {
		return fmt.Errorf("schema version: %w", err)
	}
	found := slices.Clone(v)
	if err := closer.Close(); err != nil {
		return err
	}
	if len(found) != 1 || found[0] != schemaVersion {
		return fmt.Errorf("%w: it has %v, this program uses %d; use the program that wrote it, or another --data-dir", errSchema, found, schemaVersion)
	}
	return nil
}

// newestRecords adds a record to heads, which only has those of the newest
// block.
func newestRecords(heads []recordHead, h recordHead) []recordHead {
	switch {
	case len(heads) == 0 || h.seq == heads[0].seq:
		return append(heads, h)
	case h.seq > heads[0].seq:
		return append(heads[:0], h)
	}
	return heads
}

// replay makes the open block of its records, unless it is closed.
func (l *list) replay(heads []recordHead) {
	if len(heads) == 0 {
		return
	}
	if n := len(l.blocks); n > 0 && l.blocks[n-1].Seq >= heads[0].seq {
		return
	}
	var err error
	l.open, err = replay(heads)
	l.lost = errors.Join(l.lost, err)
	if l.open.last < 0 {
		l.open = nil
	}
}

// replay builds the block of the records, which come in the order of slots.
// On an error it returns what came before.
func replay(heads []recordHead) (*block, error) {
	b := newBlock(heads[0].seq, heads[0].start, heads[0].resolution)
	for i, h := range heads {
		if h.prev != b.last || h.start != b.start || h.resolution != b.resolution {
			return b, fmt.Errorf("%w: %d of %d records do not follow", errRecord, len(heads)-i, len(heads))
		}
		if err := b.apply(h); err != nil {
			// The block is half applied now: build the part before it anew.
			if i == 0 {
				return newBlock(h.seq, h.start, h.resolution), err
			}
			good, again := replay(heads[:i:i])
			return good, errors.Join(err, again)
		}
		b.markStored()
	}
	return b, nil
}
