package ring

import (
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

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
	// Lost is how many chunks could not be read when the store was found
	// damaged, at least.
	Lost int `json:"lost,omitempty"`
	// Gaps are the slots without samples, and why.
	Gaps []Gap `json:"gaps,omitempty"`
}

// validate refuses what no ring has written.
func (b *BlockInfo) validate() error {
	if b.Groups < 0 || b.Slots < 0 || b.Lost < 0 || b.Bytes < 0 || b.Start%model.BlockSeconds != 0 || b.Resolution > model.BlockSeconds {
		return fmt.Errorf("block %d makes no sense", b.Seq)
	}
	return model.ValidateResolution(time.Duration(b.Resolution) * time.Second)
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

// A State says where samples go.
type State string

const (
	// OnDisk: each slot is on disk before Append returns.
	OnDisk State = "disk"
	// ReadOnly: history on disk is answered, samples are kept in memory.
	ReadOnly State = "read-only"
	// InMemory: samples are kept in memory, and history on disk cannot be read.
	InMemory State = "memory"
)

// Status is what /debug/ring shows.
type Status struct {
	State State `json:"state"`
	// Error says why the state is not "disk", and Since since when.
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Dir   string    `json:"dir"`
	// Oldest is the first slot with samples, Newest the one that was appended
	// last, in Unix seconds; 0 while there are none.
	Oldest int64 `json:"oldest"`
	Newest int64 `json:"newest"`
	// DiskBytes is all that the store takes on disk, its log included; MaxDisk
	// is the limit of the directory, and FreeBytes what the file system had
	// left when it was last written, 0 if it does not say.
	DiskBytes int64 `json:"diskBytes"`
	MaxDisk   int64 `json:"maxDisk"`
	FreeBytes int64 `json:"freeBytes"`
	// Unstored is how many slots are in memory only, Lost how many chunks of
	// Blocks could not be read when a store was found damaged.
	Unstored int `json:"unstored"`
	Lost     int `json:"lost"`
	// SetAside are damaged stores that were set aside, oldest first.
	SetAside []SetAside `json:"setAside"`
	// Open is the block that is being filled, Waiting are closed ones that
	// are not on disk yet, Blocks those on disk, oldest written first.
	Open    *BlockInfo  `json:"open,omitempty"`
	Waiting []BlockInfo `json:"waiting,omitempty"`
	Blocks  []BlockInfo `json:"blocks"`
}

// Status describes the ring. It never waits for the disk.
func (r *Ring) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		State: OnDisk, Dir: r.cfg.Dir, Blocks: append([]BlockInfo{}, r.stored...), MaxDisk: r.cfg.MaxDisk,
		DiskBytes: r.disk, FreeBytes: r.free, SetAside: append([]SetAside{}, r.aside...), Lost: lostChunks(r.stored),
	}
	if err := r.state(); err != nil {
		s.State, s.Error, s.Since = ReadOnly, err.Error(), r.errSince
		if r.err == nil {
			s.Since = r.busy
		}
	}
	if r.store == nil {
		s.State = InMemory
	}
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

// span takes a block, in the order of writing, into Oldest and Newest.
func (s *Status) span(b *BlockInfo) {
	if b.Slots == 0 {
		return
	}
	if s.Newest == 0 || b.First < s.Oldest {
		s.Oldest = b.First
	}
	s.Newest = b.Last
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
