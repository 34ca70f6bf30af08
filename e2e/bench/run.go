package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A bench is one run of the program.
type bench struct {
	cfg     Config
	report  *Report
	log     *slog.Logger
	err     io.Writer // progress
	began   time.Time
	scratch string
	site    *site

	// What one measurement leaves for others; see the methods of these names.
	ringDir, agentDir string
	rosterCPU         float64 // millicores; 0: not measured
}

// A measurement sets the rows whose keys begin with its name.
type measurement struct {
	name string
	do   func(*bench, context.Context) error
}

// measurements are all of them; names lists them for people.
func measurements() []measurement {
	return []measurement{
		{"binary", (*bench).binary},
		{"decode", (*bench).decode},
		{"store", (*bench).store},
		{"moving", (*bench).moving},
		{"read", (*bench).read},
		{"reopen", (*bench).reopen},
		{"speed", (*bench).speed},
		{"idle", (*bench).idle},
		{"pace", (*bench).pace},
		{"resident", (*bench).resident},
		{"crowd", (*bench).crowd},
		{"days", (*bench).days},
		{"layouts", (*bench).layouts},
		{"options", (*bench).options},
	}
}

// run measures, prints and writes.
func run(ctx context.Context, cfg Config, out, progress io.Writer, log *slog.Logger) (err error) {
	b := &bench{cfg: cfg, log: log, err: progress, began: time.Now()}
	if b.report, err = newReport(&cfg); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp(cfg.Dir, "rollcall-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	for _, dir := range []*string{&b.cfg.Profile, &b.cfg.Agent} { // children may look from elsewhere
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

	b.report.Rows = rows()
	only := regexp.MustCompile(cfg.Only) // Validate has seen it
	for _, m := range measurements() {
		if !only.MatchString(m.name) {
			b.drop(m.name)
		}
	}
	var failed []error
	for _, m := range measurements() {
		if !only.MatchString(m.name) {
			continue
		}
		b.progress("%s …", m.name)
		if err := m.do(b, ctx); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("stopped while measuring %s", m.name)
			}
			b.fail(m.name, err)
			failed = append(failed, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	b.describe()
	if err := b.report.print(out); err != nil {
		return err
	}
	if cfg.JSON != "" {
		failed = append(failed, b.report.write(cfg.JSON))
	}
	return errors.Join(failed...)
}

// progress tells what is going on.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.err, "[%4.0f s] %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// set sets a row's figure; note is for what a reader could not guess.
func (b *bench) set(key string, figure float64, note string, args ...any) {
	for _, r := range b.report.Rows {
		if r.Key == key {
			r.Measured, r.Figure, r.OK = true, figure, r.Target == 0 || figure <= r.Target
			if note != "" {
				r.Note = fmt.Sprintf(note, args...)
			}
			b.progress("%s: %s %s", r.What, number(figure), r.Unit)
			return
		}
	}
	panic("no row " + key)
}

// of yields the rows of a measurement.
func (b *bench) of(name string) []*Row {
	var of []*Row
	for _, r := range b.report.Rows {
		if strings.HasPrefix(r.Key, name+"/") {
			of = append(of, r)
		}
	}
	return of
}

// drop removes the rows of a measurement that nobody asked for.
func (b *bench) drop(name string) {
	kept := b.report.Rows[:0]
	for _, r := range b.report.Rows {
		if !strings.HasPrefix(r.Key, name+"/") {
			kept = append(kept, r)
		}
	}
	b.report.Rows = kept
}

// fail marks the rows that a measurement could not set.
func (b *bench) fail(name string, err error) {
	b.progress("%s FAILED: %v", name, err)
	for _, r := range b.of(name) {
		if !r.Measured {
			r.failed, r.Note = true, "not measured: "+strings.ReplaceAll(err.Error(), "\n", "; ")
		}
	}
}

// skip marks the rows of a measurement that a flag has turned off.
func (b *bench) skip(name, why string) {
	for _, r := range b.of(name) {
		r.Note = why
	}
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
