package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"

	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// A bench is one run of the program.
type bench struct {
	*report.Run
	cfg     Config
	log     *slog.Logger
	scratch string
	site    *site

	// What one measurement leaves for others; see the methods of these names.
	ringDir, agentDir string
	rosterCPU         float64 // millicores; 0: not measured
}

// measurements are all of them; names lists them for people.
func (b *bench) measurements() []report.Measurement {
	return []report.Measurement{
		{Name: "binary", Do: b.binary},
		{Name: "decode", Do: b.decode},
		{Name: "store", Do: b.store},
		{Name: "moving", Do: b.moving},
		{Name: "read", Do: b.read},
		{Name: "reopen", Do: b.reopen},
		{Name: "speed", Do: b.speed},
		{Name: "idle", Do: b.idle},
		{Name: "pace", Do: b.pace},
		{Name: "resident", Do: b.resident},
		{Name: "crowd", Do: b.crowd},
		{Name: "days", Do: b.days},
		{Name: "layouts", Do: b.layouts},
		{Name: "options", Do: b.options},
	}
}

// run measures, prints and writes.
func run(ctx context.Context, cfg Config, out, progress io.Writer, log *slog.Logger) (err error) {
	b := &bench{Run: report.NewRun(report.New("rollcall-agent on a full node", rows()), progress), cfg: cfg, log: log}
	b.Slots = cfg.Slots
	if b.Disk, err = meter.FileSystem(cfg.Dir); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp(cfg.Dir, "rollcall-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	for _, dir := range []*string{&b.cfg.Profile, &b.cfg.Binary} { // children may look from elsewhere
		if *dir != "" {
			if *dir, err = filepath.Abs(*dir); err != nil {
				return err
			}
		}
	}
	if cfg.Profile != "" {
		if err := os.MkdirAll(b.cfg.Profile, 0o755); err != nil {
			return err
		}
	}
	if b.site, err = newSite(b); err != nil {
		return err
	}
	failed := b.Measure(ctx, regexp.MustCompile(cfg.Only), b.measurements()) // Validate has seen it
	if ctx.Err() != nil {
		return failed
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

// path is a place for scratch files.
func (b *bench) path(name string) string { return filepath.Join(b.scratch, name) }

// profile is where a child writes a profile, "" if nobody wants one.
func (b *bench) profile(name string) string {
	if b.cfg.Profile == "" {
		return ""
	}
	return filepath.Join(b.cfg.Profile, name)
}
