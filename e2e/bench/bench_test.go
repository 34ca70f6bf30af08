package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// TestMain lets the test binary be its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ownCommand {
		os.Exit(child.Main(os.Args[2:], ownJobs()))
	}
	goleak.VerifyTestMain(m)
}

// mayBeZero are figures that are 0 when all is well, in so short a run: an
// idle process may use no CPU at all, and the difference of two be negative.
var mayBeZero = []string{"idle/agent", "idle/frozen", "pace/agent"}

// Two blocks of data, so that it does not rot. The figures mean nothing, but
// that they are there does. What runs whole agents takes minutes, and is done
// with ROLLCALL_SOAK set.
func TestAllRows(t *testing.T) {
	only := "binary|decode|store|moving|read|reopen"
	if os.Getenv("ROLLCALL_SOAK") != "" {
		only = "."
	}
	dir := t.TempDir()
	if kind, err := meter.FileSystem(dir); err != nil || kind == "tmpfs" {
		t.Skipf("%s is on %s (%v): what is written to a disk cannot be measured", dir, kind, err)
	}
	agent := filepath.Join(dir, "rollcall-agent")
	if err := child.BuildLike(t.Context(), agent, "github.com/rollcall-metrics/rollcall/agent"); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Options: report.Options{Binary: agent, JSON: filepath.Join(dir, "docs", "agent.json"), Only: only, Dir: dir},
		Slots:   2 * blockSlots, Days: 3, Pace: job.Resolution, Idle: time.Second, Crowd: 20, Seed: 1, Repeat: 10 * time.Millisecond,
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), cfg, &out, io.Discard, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Log(out.String())

	content, err := os.ReadFile(cfg.JSON)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	if r.Date.IsZero() || r.Commit == "" || r.Go == "" || r.CPU == "" || r.Cores == 0 || r.Disk == "" {
		t.Errorf("the report does not say where and when: %+v", r)
	}
	wanted := rows()
	if only != "." {
		wanted = r.Rows
	}
	if len(r.Rows) < 14 {
		t.Fatalf("only %d rows", len(r.Rows))
	}
	for i, want := range wanted {
		if i >= len(r.Rows) || r.Rows[i].Key != want.Key {
			t.Fatalf("row %d is not %s", i, want.Key)
		}
		row := r.Rows[i]
		if !row.Measured || math.IsNaN(row.Figure) {
			t.Errorf("%s: %+v", want.Key, row)
		}
		if row.Figure <= 0 && !slices.Contains(mayBeZero, row.Key) {
			t.Errorf("%s is %v %s", row.Key, row.Figure, row.Unit)
		}
		if row.OK != (row.Target == 0 || row.Figure <= row.Target) {
			t.Errorf("%s: %v of at most %v is ok: %v", row.Key, row.Figure, row.Target, row.OK)
		}
		if !strings.Contains(out.String(), row.What) {
			t.Errorf("%q is not printed", row.What)
		}
	}
	if only != "." {
		return
	}
	for i, want := range []int{3, 4, 6} { // days, layouts, options
		if i >= len(r.Tables) || len(r.Tables[i].Lines) != want {
			t.Fatalf("table %d has not %d lines: %+v", i, want, r.Tables)
		}
		for _, l := range r.Tables[i].Lines {
			for j, column := range r.Tables[i].Columns {
				if l.Figures[j] < 0 || l.Figures[j] == 0 && column != "idle millicores" {
					t.Errorf("%s, %s: %s is %v", r.Tables[i].Name, l.What, column, l.Figures[j])
				}
			}
		}
	}
}

// A measurement that fails leaves its rows in the table, and the exit code is 1.
func TestFailureIsSaid(t *testing.T) {
	cfg := Config{Options: report.Options{Binary: "/nonexistent", Only: "binary", Dir: t.TempDir()}, Slots: 2 * blockSlots}
	var out strings.Builder
	err := run(t.Context(), cfg, &out, io.Discard, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(out.String(), "FAILED") || !strings.Contains(out.String(), "/nonexistent") {
		t.Errorf("error %v, printed\n%s", err, &out)
	}
}

// Every measurement has rows or a table, and --help names them all.
func TestNames(t *testing.T) {
	for _, m := range (*bench).measurements(nil) {
		if !slices.Contains(strings.Split(names, ", "), m.Name) {
			t.Errorf("--help does not name %s", m.Name)
		}
	}
	if n := len(strings.Split(names, ", ")); n != len((*bench).measurements(nil)) {
		t.Errorf("--help names %d measurements of %d", n, len((*bench).measurements(nil)))
	}
	for _, r := range rows() {
		name, _, _ := strings.Cut(r.Key, "/")
		if !slices.ContainsFunc((*bench).measurements(nil), func(m report.Measurement) bool { return m.Name == name }) {
			t.Errorf("nothing measures %s", r.Key)
		}
	}
}
