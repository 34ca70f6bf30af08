package ring

import (
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A block is 15 min of samples in memory: the open block, or a closed one
// that could not be written yet.
type block struct {
	seq        uint64
	earlier    []uint64 // numbers that it had: parts of it may be stored under them
	start      int64    // Unix seconds
	resolution time.Duration
	groups     []*group
	index      map[model.PodRef]int
	taken      []bool         // by index of the slot: has samples
	missed     map[int]string // by index of the slot: why it has none
	last       int            // index of the last slot taken; −1 before the first

	// What the records on disk hold already.
	storedLast   int // index of the slot of the last record; −1 before the first
	storedGroups int
	// What the record that is being written holds as well.
	recordedLast, recordedGroups int
}

// A group is one growing chunk.
type group struct {
	*chunk.Builder
	stored   int // bytes of the body that records on disk hold
	recorded int // bytes that the last record holds, which may not be on disk
}

func newBlock(seq uint64, start int64, resolution time.Duration) *block {
	return &block{
		seq: seq, start: start, resolution: resolution,
		index:      map[model.PodRef]int{},
		taken:      make([]bool, model.BlockSeconds/int64(resolution/time.Second)),
		missed:     map[int]string{},
		last:       -1,
		storedLast: -1,
	}
}

// slotIndex is the slot's index in the block; ok is false if it is not in it.
func (b *block) slotIndex(slot int64) (i int, ok bool) {
	d, step := slot-b.start, int64(b.resolution/time.Second)
	if d < 0 || d >= model.BlockSeconds || d%step != 0 {
		return 0, false
	}
	return int(d / step), true
}

func (b *block) slot(index int) int64 {
	return b.start + int64(index)*int64(b.resolution/time.Second)
}

// takes tells whether the slot can be appended: it is in the block, at the
// block's resolution, after what is there.
func (b *block) takes(slot int64, resolution time.Duration) bool {
	i, ok := b.slotIndex(slot)
	return ok && b.resolution == resolution && i > b.last
}

// first is the first slot that is taken. There is always one: blocks begin
// with a sample.
func (b *block) first() int64 { return b.slot(slices.Index(b.taken, true)) }

// append adds one slot's samples. A group that its chunk refuses, or whose name
// no record could hold, is left out; the errors say which and why.
func (b *block) append(slot int64, s *model.Scrape) (refused []error) {
	i, _ := b.slotIndex(slot)
	for j := range s.Groups {
		g := &s.Groups[j]
		if err := b.appendGroup(slot, g); err != nil {
			refused = append(refused, fmt.Errorf("pod %s/%s: %w", g.Pod.Namespace, g.Pod.Name, err))
		}
	}
	b.taken[i], b.last = true, i
	delete(b.missed, i)
	return refused
}

func (b *block) appendGroup(slot int64, g *model.Group) error {
	for _, name := range []string{g.Pod.Namespace, g.Pod.Name, g.Pod.UID} {
		if len(name) > model.MaxName {
			return fmt.Errorf("name of %d bytes", len(name))
		}
	}
	n := len(b.groups)
	err := b.group(g.Pod).Append(slot, g.Samples)
	if err != nil && len(b.groups) > n { // nothing is known of it
		b.groups = b.groups[:n]
		delete(b.index, g.Pod)
	}
	return err
}

// group returns the group of the pod, a new one if it has none.
func (b *block) group(pod model.PodRef) *group {
	i, ok := b.index[pod]
	if !ok {
		i = len(b.groups)
		b.index[pod] = i
		g := &group{Builder: chunk.NewBuilder(chunk.Header{Pod: pod, Block: b.start, Resolution: b.resolution})}
		g.Without = model.Derived
		b.groups = append(b.groups, g)
	}
	return b.groups[i]
}

// miss notes why a slot has no samples.
func (b *block) miss(slot int64, why string) {
	if i, ok := b.slotIndex(slot); ok && !b.taken[i] {
		b.missed[i] = why
	}
}

// latest returns the samples of the block's last slot.
func (b *block) latest() (slot int64, scrape model.Scrape, ok bool) {
	if b.last < 0 {
		return 0, scrape, false
	}
	slot = b.slot(b.last)
	for _, g := range b.groups {
		if at, samples, ok := g.Last(); ok && at == slot {
			scrape.Groups = append(scrape.Groups, model.Group{Pod: g.Header().Pod, Samples: samples})
		}
	}
	return slot, scrape, true
}

// info describes the block. Slots after until have not been yet and are no gaps.
func (b *block) info(until int) BlockInfo {
	info := BlockInfo{
		Seq: b.seq, Start: b.start, Resolution: int64(b.resolution / time.Second),
		Groups: len(b.groups),
	}
	for i, taken := range b.taken {
		if taken {
			if info.Slots == 0 {
				info.First = b.slot(i)
			}
			info.Slots++
			info.Last = b.slot(i)
			continue
		}
		if i > until {
			break
		}
		why := b.missed[i]
		if why == "" {
			why = "not known: the agent was not running, was restarted since, or its clock jumped"
		}
		if n := len(info.Gaps); n > 0 && info.Gaps[n-1].Why == why && info.Gaps[n-1].To == b.slot(i-1) {
			info.Gaps[n-1].To = b.slot(i)
			continue
		}
		info.Gaps = append(info.Gaps, Gap{From: b.slot(i), To: b.slot(i), Why: why})
	}
	for _, g := range b.groups {
		info.Bytes += int64(len(g.Body()))
	}
	return info
}
