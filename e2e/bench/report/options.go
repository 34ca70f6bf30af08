package report

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/spf13/pflag"
)

// Options are those of every program that fills in a report.
type Options struct {
	Binary  string // what is measured
	JSON    string // where the report goes; "" is nowhere
	Only    string // regular expression of measurements
	Dir     string // for scratch files
	Profile string // directory for profiles; "" is none
	Settle  time.Duration
}

// AddFlags adds their flags. role is what is measured, "agent" or "aggregator".
func (o *Options) AddFlags(fs *pflag.FlagSet, role string) {
	fs.StringVar(&o.Binary, role, "bin/rollcall-"+role, "the "+role+"'s binary; make build builds it")
	fs.StringVar(&o.JSON, "json", "", "file for the report as JSON")
	fs.StringVar(&o.Only, "only", ".", "regular expression of the measurements to do")
	fs.StringVar(&o.Dir, "dir", os.TempDir(), "directory for scratch files")
	fs.StringVar(&o.Profile, "profile", "", "directory for CPU and heap profiles of the "+role+"; they cost some CPU and memory that is then in the figures")
	fs.DurationVar(&o.Settle, "settle", 20*time.Second, "how long a process may give memory back before it is measured")
}

// Validate says what is wrong, naming the flags.
func (o *Options) Validate(role string) error {
	var errs []error
	if _, err := os.Stat(o.Binary); err != nil {
		errs = append(errs, fmt.Errorf("--%s: %w; make build builds it", role, err))
	}
	if _, err := regexp.Compile(o.Only); err != nil {
		errs = append(errs, fmt.Errorf("--only: %w", err))
	}
	if o.Settle < 0 {
		errs = append(errs, fmt.Errorf("--settle %v is negative", o.Settle))
	}
	return errors.Join(errs...)
}
