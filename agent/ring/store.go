package ring

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// schemaVersion is the version of the keys and of what is behind them.
const schemaVersion = 1

// errSchema says that the store is of another version. It is left untouched.
var errSchema = errors.New("store of another schema version")

// The first byte of a key says what it is; see the package comment.
const (
	keySchema = 'm'
	keyRecord = 'h'
	keyBlock  = 'b'
	keyChunk  = 'c'
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

// A store is the ring's Pebble database. Its writes are not safe for
// concurrent use.
type store struct {
	db *pebble.DB
}

// listener is what the store reports of its own accord.
type listener struct {
	log *slog.Logger
	// failed is called from Pebble's goroutines; it must not call Pebble.
	failed func(error)
	// fatal must not return: Pebble has no other way out.
	fatal func(error)
}

// Infof drops what Pebble tells of its daily work.
func (l *listener) Infof(string, ...any) {}

// Errorf takes what Pebble logs of errors; each also reaches failed.
func (l *listener) Errorf(format string, args ...any) {
	l.log.Debug("pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf is Pebble's word that it cannot go on: its log cannot be written.
func (l *listener) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf(format, args...))
}

// options are Pebble's options for a small store that is mostly idle.
func options(fs vfs.FS, l *listener) *pebble.Options {
	o := &pebble.Options{
		// Given explicitly, Pebble does not wrap it with disk health checks,
		// whose tickers cost more than all the agent's work.
		FS:     fs,
		Logger: l,
		// Pinned, so that a rollback of the agent by one version can read it.
		FormatMajorVersion: pebble.FormatValueSeparation,
		// A block's chunks are 0.25 MB; records of a block the same.
		MemTableSize: 512 << 10,
		CacheSize:    1 << 20,
		MaxOpenFiles: 64,
		// Four flushes of records and chunks before anything is compacted.
		L0CompactionThreshold:      4,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		MaxConcurrentDownloads:     func() int { return 1 },
		DisableTableStats:          true,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { l.failed(fmt.Errorf("background work: %w", err)) },
			// Pebble's default is Fatalf; a block that cannot be read is no
			// reason to lose the others.
			DataCorruption: func(i pebble.DataCorruptionInfo) { l.failed(fmt.Errorf("damaged: %s: %w", i.Path, i.Details)) },
		},
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 1 << 20
	}
	// Deltas do not compress: zstd costs 2.3 times the CPU and saves nothing.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	// Pebble's own scheduler without its ticker of 100 ms: it acts on flushes
	// and on ends of compactions, which is all there is with one store.
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	return o
}

// openStore opens the store in dir, a new one if there is none.
func openStore(cfg Config, l *listener) (*store, error) {
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	o := options(cfg.FS, l)
	if cfg.Tune != nil {
		cfg.Tune(o)
	}
	db, err := pebble.Open(cfg.Dir, o)
	if err != nil {
		return nil, err
	}
	s := &store{db: db}
	if err := s.checkSchema(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *store) checkSchema() error {
	v, closer, err := s.db.Get([]byte{keySchema})
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return s.db.Set([]byte{keySchema}, []byte{schemaVersion}, pebble.Sync)
	case err != nil:
		return err
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

// load reads the list of blocks, oldest written first, and the open block,
// which is nil if there is none. damaged says what of the open block is lost.
func (s *store) load() (blocks []BlockInfo, open *block, damaged, err error) {
	err = s.scan(keyBlock, func(_, v []byte) error {
		var info BlockInfo
		if err := json.Unmarshal(v, &info); err != nil {
			return fmt.Errorf("list of blocks: %w", err)
		}
		blocks = append(blocks, info)
		return nil
	})
	if err != nil {
		return nil, nil, nil, err
	}

	var heads []recordHead // of the newest block that has records
	err = s.scan(keyRecord, func(_, v []byte) error {
		h, err := parseRecord(slices.Clone(v))
		if err != nil {
			damaged = errors.Join(damaged, err)
			return nil
		}
		if len(heads) > 0 && h.seq > heads[0].seq {
			heads = heads[:0]
		}
		if len(heads) == 0 || h.seq == heads[0].seq {
			heads = append(heads, h)
		}
		return nil
	})
	if err != nil || len(heads) == 0 {
		return blocks, nil, damaged, err
	}
	if n := len(blocks); n > 0 && blocks[n-1].Seq >= heads[0].seq {
		return blocks, nil, damaged, nil // that block is closed
	}
	open, err = replay(heads)
	return blocks, open, errors.Join(damaged, err), nil
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
			good, again := replay(heads[:i:i])
			return good, errors.Join(err, again)
		}
		b.markStored()
	}
	return b, nil
}

// scan calls f for all keys that start with kind.
func (s *store) scan(kind byte, f func(k, v []byte) error) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		if err := f(it.Key(), it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// writeRecord writes what grew in the open block; when it returns nil, it is
// on disk.
func (s *store) writeRecord(index int, record []byte) error {
	return s.db.Set(recordKey(index), record, pebble.Sync)
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
	return info, errors.Join(batch.Commit(pebble.Sync), batch.Close())
}

// deleteBlocks deletes the blocks before seq.
func (s *store) deleteBlocks(seq uint64) error {
	batch := s.db.NewBatch()
	err := errors.Join(
		batch.DeleteRange(blockKey(0), blockKey(seq), nil),
		batch.DeleteRange(chunkPrefix(0), chunkPrefix(seq), nil),
	)
	if err == nil {
		err = batch.Commit(pebble.Sync)
	}
	return errors.Join(err, batch.Close())
}

func (s *store) diskBytes() int64 { return int64(s.db.Metrics().DiskSpaceUsage()) }

func (s *store) close() error { return s.db.Close() }
