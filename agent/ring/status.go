package ring

// A BlockInfo describes one block. It is stored with the block, as JSON.
type BlockInfo struct {
	// Seq numbers blocks in the order in which they were begun.
	Seq uint64 `json:"seq"`
	// Start is the block's start and First and Last its first and last slot
	// with samples, all in Unix seconds.
	Start int64 `json:"start"`
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Resolution is the distance of slots in seconds.
	Resolution int64 `json:"resolution"`
	// Slots is how many slots have samples.
	Slots int `json:"slots"`
	// Groups is how many chunks the block has: one for the node, one per pod.
	Groups int `json:"groups"`
	// Bytes is the size of the chunks' bodies.
	Bytes int64 `json:"bytes"`
	// Gaps are the slots without samples, and why.
	Gaps []Gap `json:"gaps,omitempty"`
}

// seconds is how much measuring time the block holds.
func (b *BlockInfo) seconds() int64 { return int64(b.Slots) * b.Resolution }

// overlaps tells whether the block has samples in from..to.
func (b *BlockInfo) overlaps(from, to int64) bool {
	return b.Slots > 0 && b.First <= to && b.Last >= from
}

// A Gap is a run of slots without samples, both ends included, in Unix seconds.
type Gap struct {
	From int64  `json:"from"`
	To   int64  `json:"to"`
	Why  string `json:"why"`
}

// Status is what /debug/ring shows.
type Status struct {
	// State is "disk", or "memory" while the store cannot be used.
	State string `json:"state"`
	// Error says why the state is not "disk", or what the last write failed of.
	Error string `json:"error,omitempty"`
	// Noted is the last error that the store reported of its own accord:
	// background work that failed, damage that was found.
	Noted string `json:"noted,omitempty"`
	Dir   string `json:"dir"`
	// Oldest and Newest are the first and last slot with samples, in Unix
	// seconds; 0 while there are none.
	Oldest int64 `json:"oldest"`
	Newest int64 `json:"newest"`
	// DiskBytes is all that the store takes on disk, its log included.
	DiskBytes int64 `json:"diskBytes"`
	// Unstored is how many slots are in memory only.
	Unstored int `json:"unstored"`
	// Open is the block that is being filled, Waiting are closed ones that
	// are not on disk yet, Blocks those on disk, oldest written first.
	Open    *BlockInfo  `json:"open,omitempty"`
	Waiting []BlockInfo `json:"waiting,omitempty"`
	Blocks  []BlockInfo `json:"blocks"`
}

// Status describes the ring.
func (r *Ring) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{State: "disk", Dir: r.cfg.Dir, Blocks: append([]BlockInfo{}, r.stored...)}
	if r.store == nil {
		s.State = "memory"
	} else {
		s.DiskBytes = r.store.diskBytes()
	}
	if r.err != nil {
		s.Error = r.err.Error()
	}
	r.notedMu.Lock()
	if r.noted != nil {
		s.Noted = r.noted.Error()
	}
	r.notedMu.Unlock()
	for _, b := range r.waiting {
		s.Waiting = append(s.Waiting, b.info(len(b.taken)))
		s.Unstored += b.unstored()
	}
	if r.open != nil {
		info := r.open.info(r.open.last)
		s.Open = &info
		s.Unstored += r.open.unstored()
	}
	for _, infos := range [][]BlockInfo{s.Blocks, s.Waiting} {
		for i := range infos {
			s.span(&infos[i])
		}
	}
	if s.Open != nil {
		s.span(s.Open)
	}
	return s
}

func (s *Status) span(b *BlockInfo) {
	if b.Slots == 0 {
		return
	}
	if s.Oldest == 0 || b.First < s.Oldest {
		s.Oldest = b.First
	}
	s.Newest = max(s.Newest, b.Last)
}

// unstored counts the slots that no record on disk holds.
func (b *block) unstored() int {
	n := 0
	for _, taken := range b.taken[b.storedLast+1:] {
		if taken {
			n++
		}
	}
	return n
}
