package standin

import (
	"math/bits"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// pageBytes is the size of a memory page and of a file system block.
const pageBytes = 4096

// An entity turns recorded numbers into the numbers of one node, pod or
// container in one turn. All it does depends on the recorded measurement and
// the entity's life only, never on the turn that shows it: a measurement that
// is shown twice has the same numbers twice.
type entity struct {
	reel     *reel
	turn     int64  // that is shown
	born     int64  // the turn in which it could first be measured
	start    int64  // startTime, Unix seconds; after the slot of turn born−1
	permille uint64 // its amounts, in thousandths of the recorded ones
}

// now is the number of the recorded answer that is shown.
func (e *entity) now() int { return e.reel.answer(e.turn) }

// age is for how many turns it had lived when m was measured; negative if m was
// measured of its predecessor.
func (e *entity) age(m moment) int64 { return e.reel.taken(e.turn, m) - e.born }

// time is m in the entity's life; nothing is older than the entity.
func (e *entity) time(m moment) metav1.Time {
	return metav1.Unix(max(e.reel.unix(e.turn, m), e.start), 0)
}

func (e *entity) started() metav1.Time { return metav1.Unix(e.start, 0) }

// gauge is the entity's own amount for a recorded one.
func (e *entity) gauge(v uint64) uint64 { return scale(v, e.permille, 1000) }

// pages is gauge in whole pages.
func (e *entity) pages(bytes uint64) uint64 { return e.gauge(bytes/pageBytes) * pageBytes }

// counter is what has been counted since the entity was born. It grows per
// second as recorded: recorded answers are (last − first) / (n − 1) seconds
// apart, slots are a resolution apart.
func (e *entity) counter(recorded func(answer int) uint64) uint64 {
	asked := e.reel.trace.asked
	grown := e.reel.grown(e.born-1, e.turn, recorded)
	return scale(grown, e.permille*uint64(e.reel.resolution)*uint64(len(asked)-1), 1000*uint64(asked.span()))
}

// disk is the entity's own numbers for a recorded file system.
func (e *entity) disk(d *disk) *stats.FsStats {
	return &stats.FsStats{
		Time:           e.time(d.taken),
		AvailableBytes: new(d.available),
		CapacityBytes:  new(d.capacity),
		UsedBytes:      new(e.pages(d.used)),
		InodesFree:     new(d.inodesFree),
		Inodes:         new(d.inodes),
		InodesUsed:     new(d.inodesUsed),
	}
}

// scale is v × num / den, rounded down, without overflow on the way. The result
// must fit.
func scale(v, num, den uint64) uint64 {
	high, low := bits.Mul64(v, num)
	quotient, _ := bits.Div64(high, low, den)
	return quotient
}
