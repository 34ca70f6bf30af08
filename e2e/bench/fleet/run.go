package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/apiserver"
	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/ideal"
	"github.com/rollcall-metrics/rollcall/e2e/bench/kubelets"
	"github.com/rollcall-metrics/rollcall/e2e/bench/limit"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// A bench is one run of the program. What several measurements need is made
// when the first of them asks for it.
type bench struct {
	*report.Run
	cfg        Config
	scratch    string
	load       string // average of the last minute, when the run began
	table      *report.Table
	resources  *report.Table
	fleet      *fleet
	aggregator *aggregator
	limit      *limitBaseline
	scraper    *scraperBaseline
	deployed   *deployed
	metricsAPI *metricsAPI
	// ends are called in reverse order when all is done.
	ends []func() error
}

// measurements are all of them; names lists them for people.
func (b *bench) measurements() []report.Measurement {
	return []report.Measurement{
		{Name: "start", Do: b.start},
		{Name: "idle", Do: b.idle},
		{Name: "warm", Do: b.warm},
		{Name: "history", Do: b.history},
		{Name: "scraper", Do: b.scrape},
		{Name: "snapshot", Do: b.snapshot},
		{Name: "namespace", Do: b.namespace},
		{Name: "container", Do: b.container},
		{Name: "render", Do: b.render},
		{Name: "roster", Do: b.roster},
		{Name: "faults", Do: b.faults},       // it leaves breakers open
		{Name: "dashboard", Do: b.dashboard}, // from here on with other aggregators
		// From here on with another fleet, too.
		{Name: "resource-start", Do: b.resourceStart},
		{Name: "resource-lists", Do: b.resourceLists},
		{Name: "resource-hpa", Do: b.resourceHPA},
		{Name: "resource-all", Do: b.resourceAll},
		{Name: "resource-memory", Do: b.resourceMemory},
	}
}

// run measures, prints and writes.
func run(ctx context.Context, cfg Config, out, progress io.Writer) (err error) {
	b := &bench{
		Run: report.NewRun(report.New(fmt.Sprintf("rollcall-aggregator among %d nodes", cfg.Nodes), rows()), progress),
		cfg: cfg, load: loadAverage(), table: questionTable(), resources: resourceTable(),
	}
	b.Nodes = cfg.Nodes
	if b.scratch, err = os.MkdirTemp(cfg.Dir, "rollcall-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.end(), os.RemoveAll(b.scratch)) }()
	if cfg.Profile != "" {
		if err := os.MkdirAll(cfg.Profile, 0o755); err != nil {
			return err
		}
	}
	failed := b.Measure(ctx, regexp.MustCompile(cfg.Only), b.measurements()) // Validate has seen it
	if ctx.Err() != nil {
		return failed
	}
	for _, t := range []*report.Table{b.table, b.resources} {
		if len(t.Lines) > 0 {
			b.Tables = append(b.Tables, t)
		}
	}
	b.describe()
	if err := b.Print(out); err != nil {
		return err
	}
	if cfg.JSON != "" {
		failed = errors.Join(failed, b.Write(cfg.JSON))
	}
	return failed
}

// describe says what holds for all rows.
func (b *bench) describe() {
	b.Notes = append(b.Notes,
		fmt.Sprintf("Load average of a minute at the beginning %s, at the end %s.", b.load, loadAverage()),
		fmt.Sprintf("Aggregator, agents, both ends of the limit, the scraper and its kubelets are processes of their own; CPU is user and system time of a whole process. Medians of %d rounds after one that is not counted; refreshes %d, cycles of the scraper %d.", b.cfg.Rounds, b.cfg.Refreshes, b.cfg.Cycles))
}

// loadAverage is how many threads ran or wanted to in the last minute. On a
// machine on which other things run walls are longer, and CPU differs, too: who
// is kept waiting finds more to do at once.
func loadAverage() string {
	content, _ := os.ReadFile("/proc/loadavg")
	average, _, _ := strings.Cut(string(content), " ")
	return average
}

// end ends all processes.
func (b *bench) end() error {
	var errs []error
	for _, end := range slices.Backward(b.ends) {
		errs = append(errs, end())
	}
	b.ends = nil
	return errors.Join(errs...)
}

// path is a place for scratch files.
func (b *bench) path(name string) string { return filepath.Join(b.scratch, name) }

// ownCommand is the first argument of this program as a child.
const ownCommand = "measure-in-child"

// ownJobs are what this program does as a child.
func ownJobs() map[string]child.Job {
	return map[string]child.Job{
		"fleet": fleetJob, "kubelets": kubelets.Job, "limit-server": limit.ServerJob, "limit-client": limit.ClientJob, "render": renderJob,
		"apiserver": apiserver.Job, "ideal": ideal.Job,
	}
}

// startJob starts this program as a child to do a job, until the end.
func (b *bench) startJob(ctx context.Context, name string, request, result any) (*child.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := child.StartJob(name, exec.CommandContext(ctx, self, ownCommand, name), request)
	if err != nil {
		return nil, err
	}
	b.ends = append(b.ends, p.Stop)
	return p, p.Result(result)
}

// median is the middle of what was measured.
func median[T ~int64 | ~float64](of []T) T {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }
