package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// A Run fills in a report, measurement by measurement. It belongs to one
// goroutine.
type Run struct {
	*Report
	progress io.Writer
	began    time.Time
}

// NewRun begins to fill in a report, and tells progress what is going on.
func NewRun(r *Report, progress io.Writer) *Run {
	return &Run{Report: r, progress: progress, began: time.Now()}
}

// A Measurement sets the rows whose keys begin with its name and "/".
type Measurement struct {
	Name string
	Do   func(context.Context) error
}

// Measure does the measurements whose names match only. Of those that failed
// the rows say so, and so does the error; if ctx has ended the error is that
// alone.
func (r *Run) Measure(ctx context.Context, only *regexp.Regexp, all []Measurement) error {
	for _, m := range all {
		if !only.MatchString(m.Name) {
			r.drop(m.Name)
		}
	}
	var failed []error
	for _, m := range all {
		if !only.MatchString(m.Name) {
			continue
		}
		r.Progress("%s …", m.Name)
		if err := m.Do(ctx); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("stopped while measuring %s: %w", m.Name, ctx.Err())
			}
			r.fail(m.Name, err)
			failed = append(failed, fmt.Errorf("%s: %w", m.Name, err))
		}
	}
	return errors.Join(failed...)
}

// Progress tells what is going on.
func (r *Run) Progress(format string, args ...any) {
	fmt.Fprintf(r.progress, "[%4.0f s] %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// Set sets a row's figure; note is for what a reader could not guess.
func (r *Run) Set(key string, figure float64, note string, args ...any) {
	for _, row := range r.Rows {
		if row.Key == key {
			row.set(figure)
			if note != "" {
				row.Note = fmt.Sprintf(note, args...)
			}
			r.Progress("%s: %s %s", row.What, Number(figure), row.Unit)
			return
		}
	}
	panic("no row " + key)
}

// Of yields the rows of a measurement.
func (r *Run) Of(name string) []*Row {
	var of []*Row
	for _, row := range r.Rows {
		if strings.HasPrefix(row.Key, name+"/") {
			of = append(of, row)
		}
	}
	return of
}

// drop removes the rows of a measurement that nobody asked for.
func (r *Run) drop(name string) {
	kept := r.Rows[:0]
	for _, row := range r.Rows {
		if !strings.HasPrefix(row.Key, name+"/") {
			kept = append(kept, row)
		}
	}
	r.Rows = kept
}

// fail marks the rows that a measurement could not set.
func (r *Run) fail(name string, err error) {
	r.Progress("%s FAILED: %v", name, err)
	for _, row := range r.Of(name) {
		if !row.Measured {
			row.failed, row.Note = true, "not measured: "+strings.ReplaceAll(err.Error(), "\n", "; ")
		}
	}
}

// Skip marks the rows of a measurement that is not done, and says why.
func (r *Run) Skip(name, why string) {
	for _, row := range r.Of(name) {
		row.Note = why
	}
}
