package ring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
)

// A salvage takes what can be read out of the files of a damaged store, without
// Pebble's help, and puts it into another one. That is possible because the
// keys of chunks and blocks are never written twice; of records the one with
// the highest of Pebble's sequence numbers counts. What was deleted but is
// still in a file comes back, and expires again.
type salvage struct {
	fs     vfs.FS
	dir    string
	into   *store
	batch  *pebble.Batch
	infos  map[uint64]BlockInfo // as listed
	found  map[uint64]*block    // what the chunks say: slots, and no groups
	groups map[uint64]int
	bytes  map[uint64]int64
	heads  map[int]versioned // records by slot index
	lost   []string          // files that could not be read in full
	decode chunk.Decoder
}

// versioned is a value and Pebble's sequence number of it.
type versioned struct {
	at    uint64
	value []byte
}

// salvageBatch is how much is written at a time.
const salvageBatch = 256 << 10

func newSalvage(fs vfs.FS, dir string, into *store) *salvage {
	return &salvage{
		fs: fs, dir: dir, into: into, batch: into.db.NewBatch(),
		infos: map[uint64]BlockInfo{}, found: map[uint64]*block{},
		groups: map[uint64]int{}, bytes: map[uint64]int64{}, heads: map[int]versioned{},
	}
}

// salvageStore copies what can be read in dir. unread names the files that
// could not be read in full.
func salvageStore(fs vfs.FS, dir string, into *store) (unread []string, err error) {
	s := newSalvage(fs, dir, into)
	names, err := fs.List(dir)
	if err != nil {
		return nil, errors.Join(err, s.batch.Close())
	}
	slices.Sort(names)
	var again []string // tables with a part that cannot be read
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") && readTable(fs, fs.PathJoin(dir, name), nil, s.take) != nil {
			again = append(again, name)
		}
	}
	s.logs()
	for _, name := range again {
		s.lost = append(s.lost, name)
		s.afterDamage(name)
	}
	err = s.finish()
	return s.lost, errors.Join(err, s.batch.Close())
}

// afterDamage takes from a table what lies behind the part that cannot be
// read: it looks for each block that anything is known of, and those between.
func (s *salvage) afterDamage(name string) {
	low, high := uint64(math.MaxUint64), uint64(0)
	for seq := range s.infos {
		low, high = min(low, seq), max(high, seq)
	}
	for seq := range s.found {
		low, high = min(low, seq), max(high, seq)
	}
	if low > high || high-low > 1<<16 {
		return
	}
	seqs := make([]uint64, 0, high-low+1)
	for seq := low; seq <= high; seq++ {
		seqs = append(seqs, seq)
	}
	_ = readTable(s.fs, s.fs.PathJoin(s.dir, name), seqs, s.take) // its error is known
}

// logs takes what is in the write-ahead logs, each up to what cannot be read.
func (s *salvage) logs() {
	all, err := wal.Scan(wal.Dir{FS: s.fs, Dirname: s.dir})
	if err != nil {
		s.lost = append(s.lost, "logs")
		return
	}
	for i, l := range all {
		err := readLog(l, s.take)
		if i == len(all)-1 && errors.Is(err, record.ErrUnexpectedEOF) {
			err = nil // what a crash leaves
		}
		if err != nil {
			s.lost = append(s.lost, fmt.Sprintf("%06d.log", uint64(l.Num)))
		}
	}
}

// take puts one key and its value where they belong. What makes no sense is
// left out.
func (s *salvage) take(k, v []byte, at uint64) {
	seq, ok := keySeq(k)
	switch {
	case len(k) == 3 && k[0] == keyRecord:
		i := int(k[1])<<8 | int(k[2])
		if old, ok := s.heads[i]; !ok || at >= old.at {
			s.heads[i] = versioned{at, slices.Clone(v)}
		}
	case !ok:
	case k[0] == keyBlock:
		var info BlockInfo
		if json.Unmarshal(v, &info) == nil && info.Seq == seq && info.validate() == nil {
			s.infos[seq] = info
		}
	case k[0] == keyChunk:
		s.takeChunk(seq, k, v)
	}
}

// takeChunk copies a chunk that can be read to its end.
func (s *salvage) takeChunk(seq uint64, k, v []byte) {
	c, err := chunk.Parse(v)
	if err != nil || !bytes.Equal(k, chunkKey(seq, c.Pod)) {
		return
	}
	b := s.found[seq]
	if b == nil {
		b = newBlock(seq, c.Block, c.Resolution)
	}
	if b.start != c.Block || b.resolution != c.Resolution {
		return
	}
	var indexes []int
	for s.decode.Reset(c); s.decode.Next(); {
		if i, ok := b.slotIndex(s.decode.Row().Slot); ok {
			indexes = append(indexes, i)
		}
	}
	if s.decode.Err() != nil {
		return
	}
	for _, i := range indexes {
		b.taken[i] = true
	}
	if _, again := b.index[c.Pod]; !again { // a table and a log may both have it
		b.index[c.Pod] = 0
		s.groups[seq]++
		s.bytes[seq] += int64(len(v))
	}
	s.found[seq] = b
	_ = s.batch.Set(k, v, nil) // fails at 4 GiB
	if s.batch.Len() > salvageBatch {
		s.commit(pebble.NoSync)
	}
}

// commit writes the batch. Failures are noticed by the store's guard.
func (s *salvage) commit(o *pebble.WriteOptions) {
	_ = s.batch.Commit(o)
	_ = s.batch.Close()
	s.batch = s.into.db.NewBatch()
}

// finish lists the blocks and copies the records of the open one.
func (s *salvage) finish() error {
	for seq, info := range s.infos {
		if s.found[seq] == nil { // all of it is lost, and to be told
			s.found[seq] = newBlock(seq, info.Start, time.Duration(info.Resolution)*time.Second)
		}
	}
	for seq, b := range s.found {
		info, listed := s.infos[seq]
		if n := s.groups[seq]; !listed || n != info.Groups {
			if !listed {
				info = b.info(len(b.taken))
			}
			info.Lost += max(0, info.Groups-n)
			info.Groups, info.Bytes = n, s.bytes[seq]
		}
		v, err := json.Marshal(info)
		if err != nil {
			return err
		}
		if err := s.batch.Set(blockKey(seq), v, nil); err != nil {
			return err
		}
	}
	for i, v := range s.heads {
		if err := s.batch.Set(recordKey(i), v.value, nil); err != nil {
			return err
		}
	}
	s.commit(pebble.Sync)
	return errors.Join(s.into.db.Flush(), s.into.broken())
}
