package ring

import "time"

const (
	// chunkOverhead is what a chunk takes on disk beside its body: names, key,
	// and its share of a table's index.
	chunkOverhead = 200
	// overhead is what the store takes beside the blocks: up to three logs, and
	// four tables of records, twice while they are compacted. TestMaxDisk looks
	// whether it is enough.
	overhead = 7 << 20
)

// size is about what the block takes on disk, in bytes.
func (b *BlockInfo) size() int64 { return b.Bytes + int64(b.Groups)*chunkOverhead }

// budget is how much may be blocks: a compaction may write all of them anew
// before it deletes the old tables.
func (c *Config) budget() int64 { return (c.MaxDisk - overhead) / 2 }

// expire deletes the blocks written first: those beyond the retention, as long
// as the others hold enough measuring time, a few at a time; and those beyond
// the directory's limit. Counting what was measured rather than comparing with
// the clock means that no jump of the clock deletes history.
func (r *Ring) expire(st *store) error {
	r.dropAside()
	r.mu.Lock()
	n, dropped := r.expired()
	if n == 0 {
		r.mu.Unlock()
		return nil
	}
	seq := r.stored[n-1].Seq + 1
	r.mu.Unlock()
	if err := st.deleteBlocks(seq); err != nil {
		return err
	}
	r.metrics.dropped.Add(float64(dropped))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored = append([]BlockInfo{}, r.stored[n:]...)
	return nil
}

// expired counts the blocks to delete, and those of them that go before their
// time. The caller holds r.mu.
func (r *Ring) expired() (n, dropped int) {
	var have, size int64
	for i := range r.stored {
		have += r.stored[i].seconds()
		size += r.stored[i].size()
	}
	old := 0
	for old < len(r.stored) && have-r.stored[old].seconds() >= int64(r.cfg.Retention/time.Second) {
		have -= r.stored[old].seconds()
		old++
	}
	if old < deleteBlocks {
		old = 0
	}
	full := 0
	for ; full < len(r.stored) && size > r.cfg.budget(); full++ {
		size -= r.stored[full].size()
	}
	if full <= old {
		return old, 0
	}
	// A few more, so that this is not done with every block.
	full = max(full, min(deleteBlocks, len(r.stored)/8))
	return full, full - old
}

// dropAside removes the stores that were set aside if there is not room for
// them and for the blocks: they are the first to go.
func (r *Ring) dropAside() {
	r.mu.Lock()
	used := r.disk
	for _, a := range r.aside {
		used += a.Bytes
	}
	drop := len(r.aside) > 0 && used > r.cfg.budget()
	r.mu.Unlock()
	if !drop {
		return
	}
	r.dir.dropAside(0)
	aside := r.dir.aside()
	r.mu.Lock()
	r.aside = aside
	r.mu.Unlock()
}
