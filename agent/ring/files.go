package ring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// maxFailures is how many blocks of a damaged table may be unreadable before the
// rest is given up: one damaged place spans one or two.
const maxFailures = 8

// readTable takes all keys of a table until the end or what cannot be read; or,
// if seqs is not nil, the chunks of those blocks. The bytes are valid until take
// returns; at is Pebble's sequence number.
func readTable(fs vfs.FS, path string, seqs []uint64, take func(k, v []byte, at uint64)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic of Pebble: %v", p)
		}
	}()
	f, err := fs.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o := &pebble.Options{}
	o.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, o.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()

	if seqs == nil {
		for kv := it.First(); kv != nil; kv = it.Next() {
			v, _, err := kv.Value(nil)
			if err != nil {
				return err
			}
			take(kv.K.UserKey, v, uint64(kv.SeqNum()))
		}
		return it.Error()
	}
	// Each block by itself: what follows the damage can be read again. Not
	// without end: at each damaged piece Pebble tries every bit for the one that
	// flipped.
	for i, failed := 0, 0; i < len(seqs) && failed < maxFailures; i++ {
		prefix := chunkPrefix(seqs[i])
		kv := it.SeekGE(prefix, 0)
		for ; kv != nil && bytes.HasPrefix(kv.K.UserKey, prefix); kv = it.Next() {
			v, _, err := kv.Value(nil)
			if err != nil {
				break
			}
			take(kv.K.UserKey, v, uint64(kv.SeqNum()))
		}
		if it.Error() != nil {
			failed++
		} else if kv == nil {
			break // the table's end
		} else if next, ok := keySeq(kv.K.UserKey); ok && kv.K.UserKey[0] == keyChunk {
			for i+1 < len(seqs) && seqs[i+1] < next {
				i++ // not in this table
			}
		}
	}
	return nil
}

// readLog takes what was set in a write-ahead log until the end or what cannot
// be read.
func readLog(l wal.LogicalLog, take func(k, v []byte, at uint64)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic of Pebble: %v", p)
		}
	}()
	r := l.OpenForRead()
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		rec, _, err := r.NextRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		repr, err := io.ReadAll(rec)
		if err != nil {
			return err
		}
		h, ok := batchrepr.ReadHeader(repr)
		if !ok {
			return errors.New("no batch")
		}
		at := uint64(h.SeqNum)
		for b := batchrepr.Read(repr); ; at++ {
			kind, k, v, ok, err := b.Next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if kind == pebble.InternalKeyKindSet {
				take(k, v, at)
			}
		}
	}
}

// forgotten is an error if there are tables with blocks or records that the
// store does not know of: the end of its manifest is lost, which Pebble takes
// for what a crash left, and deletes those tables. After a crash there may be
// tables that are not listed, too, but all that is in them is elsewhere.
func (s *store) forgotten(l *list, chunks map[uint64]int) error {
	levels, err := s.db.SSTables()
	if err != nil {
		return err
	}
	listed := map[uint64]bool{}
	for _, level := range levels {
		for i := range level {
			listed[uint64(level[i].BackingSSTNum)] = true
		}
	}
	names, err := s.guard.List(s.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		digits, isTable := strings.CutSuffix(name, ".sst")
		if n, err := strconv.ParseUint(digits, 10, 64); !isTable || err != nil || listed[n] {
			continue
		}
		unknown := 0
		err := readTable(s.guard.FS, s.guard.PathJoin(s.dir, name), nil, func(k, v []byte, _ uint64) {
			seq, ok := keySeq(k)
			switch h, err := parseRecord(v); {
			case ok && k[0] == keyChunk:
				ok = chunks[seq] > 0 || seq < l.nextSeq && (len(l.blocks) == 0 || seq < l.blocks[0].Seq)
			case k[0] == keyRecord && err == nil:
				ok = h.seq < l.nextSeq && (l.open == nil || h.seq != l.open.seq || h.prev < l.open.last)
			default:
				ok = true
			}
			if !ok {
				unknown++
			}
		})
		if err == nil && unknown > 0 { // a table that was not finished cannot be read
			return fmt.Errorf("the manifest does not list %s, which has %d keys that are nowhere else", name, unknown)
		}
	}
	return nil
}
