package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// leastNodes is enough for one percent, and for the namespace of known size.
const leastNodes = 20

// A Config is what is measured, and how often.
type Config struct {
	report.Options
	Nodes      int
	Resolution time.Duration // distance of slots
	Rounds     int           // of a question that may be asked at any time
	Refreshes  int           // of the snapshot, one a slot
	Cycles     int           // of the central scraper
	Requests   int           // of what the snapshot answers by itself
	Spread     time.Duration // within which the scraper begins to ask
	Pace       time.Duration // how long autoscalers ask
	Seed       int64
}

// AddFlags implements [cli.Config].
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	c.Options.AddFlags(fs, "aggregator")
	fs.IntVar(&c.Nodes, "nodes", 5000, "nodes of the fleet")
	fs.DurationVar(&c.Resolution, "resolution", 15*time.Second, "distance of slots")
	fs.IntVar(&c.Rounds, "rounds", 9, "how often each question to all nodes is asked; figures are medians")
	fs.IntVar(&c.Refreshes, "refreshes", 5, "how often the snapshot is refreshed, once a slot")
	fs.IntVar(&c.Cycles, "cycles", 5, "cycles of the central scraper, after two that are not counted")
	fs.IntVar(&c.Requests, "requests", 500, "requests that the snapshot answers")
	fs.DurationVar(&c.Spread, "spread", 4*time.Second, "time within which the central scraper begins to ask its nodes")
	fs.DurationVar(&c.Pace, "pace", time.Minute, "how long autoscalers ask at real pace")
	fs.Int64Var(&c.Seed, "seed", 1, "seed of the fleet's data")
}

// Validate implements [cli.Config].
func (c *Config) Validate() error {
	errs := []error{c.Options.Validate("aggregator")}
	if c.Nodes < leastNodes || c.Nodes > 16000 {
		errs = append(errs, fmt.Errorf("--nodes %d is not in %d to 16000", c.Nodes, leastNodes))
	}
	for flag, n := range map[string]int{"rounds": c.Rounds, "refreshes": c.Refreshes, "cycles": c.Cycles, "requests": c.Requests} {
		if n < 1 {
			errs = append(errs, fmt.Errorf("--%s %d is not positive", flag, n))
		}
	}
	if err := model.ValidateResolution(c.Resolution); err != nil {
		errs = append(errs, fmt.Errorf("--resolution: %w", err))
	}
	if c.Pace <= 0 {
		errs = append(errs, fmt.Errorf("--pace %v is not positive", c.Pace))
	}
	if c.Spread < 0 {
		errs = append(errs, fmt.Errorf("--spread %v is negative", c.Spread))
	}
	return errors.Join(errs...)
}

// seconds are those of a slot.
func (c *Config) seconds() int64 { return int64(c.Resolution / time.Second) }

// ended is the newest slot that all agents have, in Unix seconds: the one before
// this, since agents scrape in the first half of a slot.
func (c *Config) ended() int64 { return model.SlotOf(time.Now(), c.Resolution) - c.seconds() }
