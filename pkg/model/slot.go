package model

import (
	"fmt"
	"time"
)

// BlockSeconds is the length of a block: 15 min, short enough that the open
// block's records are a small part of a day, long enough that a chunk's names
// cost less than its numbers.
const BlockSeconds = 900

// StaleSlots is how many slots a node's newest values are shown for after their
// own when no newer ones come: one or two failures of a kubelet or a connection
// are no gap, a node that is gone is not shown for a minute.
const StaleSlots = 3

// ValidateResolution tells whether slots of that length tile a block: whole
// seconds, at least one, and a divisor of 15 min.
func ValidateResolution(res time.Duration) error {
	if res < time.Second || res%time.Second != 0 || BlockSeconds%int64(res/time.Second) != 0 {
		return fmt.Errorf("resolution %v does not divide a block of 15m into slots of whole seconds; try 5s, 10s, 15s, 30s or 60s", res)
	}
	return nil
}

// SlotOf returns the start of the slot that t lies in, in Unix seconds: the
// last multiple of the resolution that is not after t.
func SlotOf(t time.Time, res time.Duration) int64 {
	return floor(t.Unix(), int64(res/time.Second))
}

// Sampled returns the start of the last slot at time t of which every node that is
// well has its sample, in Unix seconds: agents sample in the first half of a slot, and
// a tenth more is for the kubelets' answers.
func Sampled(t time.Time, res time.Duration) int64 { return SlotOf(t.Add(-dueAfter(res)), res) }

// Due returns when a slot is the one that Sampled returns.
func Due(slot int64, res time.Duration) time.Time { return time.Unix(slot, 0).Add(dueAfter(res)) }

func dueAfter(res time.Duration) time.Duration { return res * 6 / 10 }

// Shown returns the start of the slot whose samples are the newest that is told at
// time t, in Unix seconds: after Sampled there is a tenth of a slot in which all nodes
// can be asked, so that who wants to know need not wait for them.
func Shown(t time.Time, res time.Duration) int64 { return SlotOf(t.Add(-shownAfter(res)), res) }

// ShownFrom returns when a slot is the one that Shown returns.
func ShownFrom(slot int64, res time.Duration) time.Time {
	return time.Unix(slot, 0).Add(shownAfter(res))
}

func shownAfter(res time.Duration) time.Duration { return res * 7 / 10 }

// BlockOf returns the start of the block that a slot lies in, in Unix seconds.
func BlockOf(slot int64) int64 { return floor(slot, BlockSeconds) }

func floor(x, step int64) int64 {
	r := x % step
	if r < 0 {
		r += step
	}
	return x - r
}
