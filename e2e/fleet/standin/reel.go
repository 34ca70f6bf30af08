package standin

// eraSeconds is the time between two boots of a node, 128 days: long enough
// that hardly any run sees one, short enough that totals stay plausible. Slots
// of any resolution that divides 15 min tile it.
const eraSeconds = 128 * 24 * 3600

// A reel runs the trace in a loop, from 1970 on. A turn is the number of a
// slot: its start in Unix seconds, divided by the resolution.
type reel struct {
	trace      *Trace
	resolution int64 // seconds of a slot
	offset     int64 // recorded answers by which this node is ahead
}

// slot is the start of a turn's slot in Unix seconds.
func (r *reel) slot(turn int64) int64 { return turn * r.resolution }

// answer is the number of the recorded answer that a turn shows.
func (r *reel) answer(turn int64) int {
	n := int64(len(r.trace.asked))
	return int(((turn+r.offset)%n + n) % n)
}

// shown is the first turn that showed what was measured at m, given that this
// turn shows it: the turn itself, or one before if the answer repeats it.
func (r *reel) shown(turn int64, m moment) int64 {
	return turn - int64(r.answer(turn)) + int64(m.at)
}

// lag is how long before its first answer m was. The first answer of the
// recording repeats older measurements; at the end of the loop they follow the
// last answer's, so they are taken for new there.
func lag(m moment) int64 {
	if m.at == 0 {
		return min(int64(m.lag), stepSeconds-1)
	}
	return int64(m.lag)
}

// taken is the turn in which m was: after the slot of the turn before.
func (r *reel) taken(turn int64, m moment) int64 { return r.shown(turn, m) - lag(m)/stepSeconds }

// unix is when m was, in Unix seconds, as seen from a turn. From 15 s of
// resolution on the lag is as recorded. Below, it shrinks in proportion (and
// −1 to 0) to less than a slot: so two measurements, which are at least 10 s
// apart in the recording, never share a second.
func (r *reel) unix(turn int64, m moment) int64 {
	before := lag(m)
	if r.resolution < stepSeconds {
		before = min(before, stepSeconds-1) * r.resolution / stepSeconds
	}
	return r.slot(r.shown(turn, m)) - before
}

// grown is how much a counter grows from one turn to another, as recorded.
// Over the end of the loop it grows by one average step. Arithmetic is modulo
// 2⁶⁴: loops are counted from 1970, differences are small.
func (r *reel) grown(from, to int64, counter func(answer int) uint64) uint64 {
	n := len(r.trace.asked)
	first, last := counter(0), counter(n-1)
	loop := last - first + (last-first)/uint64(n-1)
	total := func(turn int64) uint64 {
		answer := r.answer(turn)
		loops := (turn + r.offset - int64(answer)) / int64(n)
		return counter(answer) + uint64(loops)*loop
	}
	return total(to) - total(from)
}

// boot is the turn in which the node began to answer, for the last time before
// or in the given one.
func (r *reel) boot(turn int64) int64 {
	era := floorTo(r.slot(turn), eraSeconds)
	return (era + r.resolution - 1) / r.resolution
}

// A cycle is a kind of event that happens again and again, in turns.
type cycle struct{ period, phase int64 }

// newCycle draws a period between low and high turns, and when it begins.
func newCycle(d dice, low, high int64) cycle {
	period := d.of(0).between(low, high)
	return cycle{period: period, phase: d.of(1).between(0, period-1)}
}

// last is the turn of the newest event, at most the given one.
func (c cycle) last(turn int64) int64 { return floorTo(turn+c.phase, c.period) - c.phase }

// floorTo is the last multiple of step that is not after x.
func floorTo(x, step int64) int64 {
	m := x % step
	if m < 0 {
		m += step
	}
	return x - m
}
