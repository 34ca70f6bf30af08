package app

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/aggregator/dashboard"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// longestDashboardWindow is what agents keep by default.
const longestDashboardWindow = 24 * time.Hour

// scraperFlags are those flags of the Kubernetes Dashboard's metrics scraper that
// aggregators have only so that its arguments go on working: its own, of all
// releases, and those of klog that manifests and documents show.
type scraperFlags struct {
	duration    time.Duration
	namespace   []string
	dbFile      string
	logToStderr bool
	verbosity   int

	given func(name string) bool // nil: no flags at all
}

func (s *scraperFlags) addFlags(fs *pflag.FlagSet) {
	const of = "of the Dashboard's metrics scraper: "
	fs.DurationVar(&s.duration, "metric-duration", dashboard.DefaultWindow, of+"the default of --dashboard-window")
	fs.StringSliceVarP(&s.namespace, "namespace", "n", nil, of+"deprecated, the same as --namespaces; Rollcall's own is --own-namespace")
	fs.StringVar(&s.dbFile, "db-file", "", of+"deprecated, does nothing; there is no database")
	fs.BoolVar(&s.logToStderr, "logtostderr", true, of+"deprecated, does nothing; logs go to stderr")
	fs.IntVarP(&s.verbosity, "v", "v", 0, of+"deprecated, does nothing; see --log-level")
	s.given = fs.Changed
}

// has tells whether a flag was given.
func (s *scraperFlags) has(name string) bool { return s.given != nil && s.given(name) }

// heedScraper has the scraper's flags mean what they mean here. Doing it again
// changes nothing.
func (c *Config) heedScraper() {
	switch s := &c.scraper; {
	case s.has("dashboard-window"):
	case s.has("metric-duration"):
		c.DashboardWindow = s.duration
		if s.duration > 0 && model.ValidateResolution(c.Resolution) == nil {
			c.DashboardWindow = min(max(s.duration, c.Resolution), longestDashboardWindow)
		}
	case c.DashboardWindow == 0:
		c.DashboardWindow = dashboard.DefaultWindow
	}
	if c.scraper.has("namespace") && !c.scraper.has("namespaces") {
		c.Namespaces = c.scraper.namespace
	}
	c.Namespaces = orAll(c.Namespaces)
}

// orAll is a list of namespaces as we say it: all are none. The scraper says all
// with an empty name.
func orAll(namespaces []string) []string {
	if slices.Contains(namespaces, "") {
		return nil
	}
	return namespaces
}

func (c *Config) validateDashboard() error {
	s := &c.scraper
	var errs []error
	if s.has("namespace") && s.has("namespaces") && !sameNames(orAll(s.namespace), c.Namespaces) {
		errs = append(errs, fmt.Errorf("--namespace %q and --namespaces %q differ, and mean the same: leave out --namespace; Rollcall's own namespace is --own-namespace",
			s.namespace, c.Namespaces))
	}
	flag := "--dashboard-window"
	if s.has("metric-duration") && !s.has("dashboard-window") {
		flag = "--metric-duration"
	}
	switch window := c.DashboardWindow; {
	case window <= 0:
		errs = append(errs, fmt.Errorf("%s %v is not positive", flag, window))
	case window > longestDashboardWindow:
		errs = append(errs, fmt.Errorf("%s %v is more than %v, which agents keep: try %v", flag, window, longestDashboardWindow, dashboard.DefaultWindow))
	case window < c.Resolution && model.ValidateResolution(c.Resolution) == nil:
		errs = append(errs, fmt.Errorf("%s %v is less than a slot, which is %v long (--metric-resolution): try %v", flag, window, c.Resolution, dashboard.DefaultWindow))
	}
	return errors.Join(errs...)
}

func sameNames(a, b []string) bool {
	sorted := func(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }
	return slices.Equal(sorted(a), sorted(b))
}

// WarnOfScraper logs which of the scraper's flags were given that should be left
// out, once each, and what to do instead.
func (c *Config) WarnOfScraper(log *slog.Logger) {
	for _, f := range []struct{ name, why string }{
		{"namespace", "deprecated: use --namespaces; Rollcall's own namespace is --own-namespace"},
		{"db-file", "does nothing here: there is no database; leave it out"},
		{"logtostderr", "does nothing here: logs go to stderr; leave it out"},
		{"v", "does nothing here: use --log-level"},
	} {
		if c.scraper.has(f.name) {
			log.Warn("flag of the metrics scraper", "flag", "--"+f.name, "note", f.why)
		}
	}
	if s := &c.scraper; s.has("metric-duration") && !s.has("dashboard-window") && s.duration != c.DashboardWindow {
		log.Warn("flag of the metrics scraper", "flag", "--metric-duration",
			"note", fmt.Sprintf("%v is not in %v to %v, a slot to what agents keep by default: taken for %v", s.duration, c.Resolution, longestDashboardWindow, c.DashboardWindow))
	}
}
