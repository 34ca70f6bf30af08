package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// leastNodes is enough for one percent, and for the namespace of known size.
const leastNodes = 20

// A Config is what is measured, and how often.
type Config struct {
	Aggregator string // the aggregator's binary
	JSON       string // where the report goes; "" is nowhere
	Only       string // regular expression of measurements
	Dir        string // for scratch files
	Profile    string // directory for profiles; "" is none
	Nodes      int
	Resolution time.Duration // distance of slots
	Rounds     int           // of a question that may be asked at any time
	Refreshes  int           // of the snapshot, one a slot
	Cycles     int           // of the central scraper
	Requests   int           // of what the snapshot answers by itself
	Settle     time.Duration
	Spread     time.Duration // within which the scraper begins to ask
	Seed       int64
}

// AddFlags implements [cli.Config].
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Aggregator, "aggregator", "bin/rollcall-aggregator", "the aggregator's binary; make build builds it")
	fs.StringVar(&c.JSON, "json", "", "file for the report as JSON")
	fs.StringVar(&c.Only, "only", ".", "regular expression of the measurements to do")
	fs.StringVar(&c.Dir, "dir", os.TempDir(), "directory for scratch files")
	fs.StringVar(&c.Profile, "profile", "", "directory for CPU and heap profiles of the aggregator; they cost some CPU and memory that is then in the figures")
	fs.IntVar(&c.Nodes, "nodes", 5000, "nodes of the fleet")
	fs.DurationVar(&c.Resolution, "resolution", 15*time.Second, "distance of slots")
	fs.IntVar(&c.Rounds, "rounds", 9, "how often each question to all nodes is asked; figures are medians")
	fs.IntVar(&c.Refreshes, "refreshes", 5, "how often the snapshot is refreshed, once a slot")
	fs.IntVar(&c.Cycles, "cycles", 5, "cycles of the central scraper, after two that are not counted")
	fs.IntVar(&c.Requests, "requests", 500, "requests that the snapshot answers")
	fs.DurationVar(&c.Settle, "settle", 20*time.Second, "how long a process may give memory back before it is measured")
	fs.DurationVar(&c.Spread, "spread", 4*time.Second, "time within which the central scraper begins to ask its nodes")
	fs.Int64Var(&c.Seed, "seed", 1, "seed of the fleet's data")
}

// Validate implements [cli.Config].
func (c *Config) Validate() error {
	var errs []error
	if _, err := os.Stat(c.Aggregator); err != nil {
		errs = append(errs, fmt.Errorf("--aggregator: %w; make build builds it", err))
	}
	if _, err := regexp.Compile(c.Only); err != nil {
		errs = append(errs, fmt.Errorf("--only: %w", err))
	}
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
	if c.Settle < 0 || c.Spread < 0 {
		errs = append(errs, fmt.Errorf("--settle %v or --spread %v is negative", c.Settle, c.Spread))
	}
	return errors.Join(errs...)
}

// seconds are those of a slot.
func (c *Config) seconds() int64 { return int64(c.Resolution / time.Second) }

// ended is the newest slot that all agents have, in Unix seconds: the one before
// this, since agents scrape in the first half of a slot.
func (c *Config) ended() int64 { return model.SlotOf(time.Now(), c.Resolution) - c.seconds() }
