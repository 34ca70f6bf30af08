package resource

import "os"

// What is broken elsewhere. A script that shows it is skipped, unless ROLLCALL_BROKEN
// is set; whoever mends it takes broken away.
const (
	windowLost  = "agent/sampler: an agent that was started anew does not know over how long the rate was measured that is in its ring"
	outOfOrder  = "agent/sampler: an older measurement after a newer one is taken for new"
	lateSlot    = "aggregator/snapshot: of a node that is late, one aggregator may have the slot seconds before the other"
	slotOnDisk  = "agent/api: of a slot that is neither the newest nor the one before, window and mean are lost"
	zeroOfOld   = "agent/sampler: a cpu of 0 is believed of whatever is older than a minute when it is seen for the first time"
	othersMoved = "aggregator/resource: with the timestamp of the container that was measured first, the others' numbers go on"
	partOnly    = "aggregator/snapshot: a part of a scrape replaces all of the one before"
	skewUnseen  = "agent/api: nobody notices an agent whose clock is ahead"
)

// broken is a script that fails for a reason.
func broken(why string, s script) script {
	return func(f *fleet) {
		skip(f, why)
		s(f)
	}
}

func skip(f *fleet, why string) {
	if os.Getenv("ROLLCALL_BROKEN") == "" {
		*f.skipped = why
		f.t.SkipNow()
	}
}
