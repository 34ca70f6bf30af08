package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/layout"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
)

// walkEvery is after how many slots the directory is measured, besides the
// ends of blocks: a compaction's files live for longer than a block.
const walkEvery = 15

// A storeRequest is to store a node's history in a layout.
type storeRequest struct {
	Layout  string // "ring", or one of layout.Baselines
	Tune    string // changes the ring's options; see layout.Tuning
	Dir     string
	Motion  fullnode.Motion
	Seed    uint64
	Begin   int64 // the first slot
	Slots   int64 // that are a day
	Days    int64
	Extra   int64 // slots after the last day
	Repeat  time.Duration
	Reads   bool   // measure reads at the end, too
	Name    string // for progress
	Profile string // file of the CPU profile, without ".cpu"; "" is none
}

// A storeResult is what it cost.
type storeResult struct {
	CPU       float64       // ms a scrape
	Numbers   float64       // a scrape
	Zeros     float64       // of them PSI that is 0
	PerNumber float64       // bytes on disk after the first day
	Disk      float64       // bytes after the first day
	Peak      float64       // bytes at most
	Written   meter.Written // in the last day
	First     meter.Written // in the first day, in which nothing expires
	Reads     *readResult
}

// openLayout opens the ring or a baseline.
func openLayout(name, tuning, dir string, slots int64) (layout.Store, error) {
	if name != "ring" {
		return layout.Open(name, dir)
	}
	change, err := layout.Tuning(tuning)
	if err != nil {
		return nil, err
	}
	return layout.OpenRing(ring.Config{
		Dir: dir, Resolution: job.Resolution, Retention: time.Duration(slots) * job.Resolution, Tune: change,
	}, child.ErrorsOnly())
}

// storeJob is the job "store". A ring is not closed, as if the process were
// killed: what is on disk then is what reopening has to do with.
func storeJob(ctx context.Context, p *child.Parent) error {
	var q storeRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	rec, err := fullnode.LoadRecording()
	if err != nil {
		return err
	}
	total := q.Days*q.Slots + q.Extra
	// The numbers are counted, and what making the data costs is measured, first;
	// that is taken off.
	var r storeResult
	all, zeros, err := countNumbers(rec, &q)
	if err != nil {
		return err
	}
	node, err := fullnode.New(rec, q.Motion, q.Seed, q.Begin)
	if err != nil {
		return err
	}
	before := meter.CPU()
	for i := range total {
		node.Next(q.Begin + i*job.SlotSeconds)
	}
	making := meter.CPU() - before

	if node, err = fullnode.New(rec, q.Motion, q.Seed, q.Begin); err != nil {
		return err
	}
	st, err := openLayout(q.Layout, q.Tune, q.Dir, q.Slots)
	if err != nil {
		return err
	}
	stopProfile, err := meter.ProfileCPU(q.Profile)
	if err != nil {
		return err
	}
	var atStart, atLastDay meter.Written
	began, told := meter.CPU(), time.Now()
	for i := range total {
		if i%q.Slots == 0 {
			if atLastDay, err = meter.OwnWritten(); err != nil {
				return err
			}
			switch i {
			case 0:
				atStart = atLastDay
			case q.Slots:
				r.First = atLastDay.Since(atStart)
			}
		}
		slot := q.Begin + i*job.SlotSeconds
		s := node.Next(slot)
		if err := st.Append(slot, s); err != nil {
			return fmt.Errorf("slot %d: %w", i, err)
		}
		if i%walkEvery == 0 || i%blockSlots == blockSlots-1 {
			d, err := meter.Disk(q.Dir)
			if err != nil {
				return err
			}
			r.Peak = max(r.Peak, d)
			if i == q.Slots-1 {
				r.Disk = d
			}
		}
		if i == q.Days*q.Slots-1 {
			now, err := meter.OwnWritten()
			if err != nil {
				return err
			}
			r.Written = now.Since(atLastDay)
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "         %s: %d of %d slots stored\n", q.Name, i+1, total)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	r.CPU = meter.Millis(meter.CPU()-began-making) / float64(total)
	r.Numbers, r.Zeros = float64(all)/float64(q.Slots), float64(zeros)/float64(q.Slots)
	r.PerNumber = r.Disk / float64(all)
	if err := stopProfile(); err != nil {
		return err
	}
	if q.Reads {
		reads, err := measureReads(ctx, st, node.Scrape(), q.Begin+(total-1)*job.SlotSeconds, q.Slots, q.Repeat)
		if err != nil {
			return err
		}
		r.Reads = &reads
	}
	if q.Layout != "ring" {
		if err := st.Close(); err != nil {
			return err
		}
	}
	return p.Result(r)
}

// countNumbers counts the numbers of the first day, and those that are PSI of 0.
func countNumbers(rec *fullnode.Recording, q *storeRequest) (all, zeros int, err error) {
	node, err := fullnode.New(rec, q.Motion, q.Seed, q.Begin)
	if err != nil {
		return 0, 0, err
	}
	for i := range q.Slots {
		n, z := fullnode.Numbers(node.Next(q.Begin + i*job.SlotSeconds))
		all, zeros = all+n, zeros+z
	}
	return all, zeros, nil
}
