package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// blockSlots is how many slots a block has.
const blockSlots = model.BlockSeconds / job.SlotSeconds

// A Config is what is measured, and for how long.
type Config struct {
	report.Options
	Slots  int64 // of history
	Days   int   // of the long replay, each of Slots
	Pace   time.Duration
	Idle   time.Duration
	Crowd  int // members of the large roster
	Seed   uint64
	Repeat time.Duration // CPU time to spend on each kind of read and decoding
}

// AddFlags implements [cli.Config].
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	c.Options.AddFlags(fs, "agent")
	fs.Lookup("dir").Usage = "directory for scratch files, on a real disk; needs 1 GB"
	fs.Int64Var(&c.Slots, "slots", 86400/job.SlotSeconds, "slots of history that stand for 24 h, a multiple of 60; figures per day are scaled")
	fs.IntVar(&c.Days, "days", 7, "days of the long replay; 0 to skip it")
	fs.DurationVar(&c.Pace, "pace", 2*time.Minute, "how long the agent is watched while it samples every 15 s; 0 to skip it")
	fs.DurationVar(&c.Idle, "idle", 2*time.Minute, "how long processes are watched that have nothing to do")
	fs.IntVar(&c.Crowd, "crowd", 5000, "members of the large roster")
	fs.DurationVar(&c.Repeat, "repeat", 500*time.Millisecond, "CPU time that each kind of read and of decoding is repeated for")
	fs.Uint64Var(&c.Seed, "seed", 1, "seed of the data")
}

// Validate implements [cli.Config].
func (c *Config) Validate() error {
	errs := []error{c.Options.Validate("agent")}
	if c.Slots < 2*blockSlots || c.Slots%blockSlots != 0 {
		errs = append(errs, fmt.Errorf("--slots %d is not a multiple of %d, two blocks at least", c.Slots, blockSlots))
	}
	if c.Days != 0 && c.Days < 3 {
		errs = append(errs, fmt.Errorf("--days %d: the last is compared with the second, so 3 or more", c.Days))
	}
	if c.Pace != 0 && c.Pace < job.Resolution || c.Idle <= 0 || c.Crowd < 2 {
		errs = append(errs, fmt.Errorf("--pace %v (0, or 15s and more), --idle %v or --crowd %d cannot be", c.Pace, c.Idle, c.Crowd))
	}
	if kind, err := meter.FileSystem(c.Dir); err != nil {
		errs = append(errs, fmt.Errorf("--dir: %w", err))
	} else if kind == "tmpfs" {
		errs = append(errs, fmt.Errorf("--dir %s is in memory (tmpfs); what is written to a disk can only be measured on one", c.Dir))
	}
	return errors.Join(errs...)
}

// perDay scales what was counted in so many slots to a day.
func perDay(x float64, slots int64) float64 { return x * 86400 / float64(slots*job.SlotSeconds) }
