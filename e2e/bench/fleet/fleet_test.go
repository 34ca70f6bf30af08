package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// TestMain lets the test binary be its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ownCommand {
		os.Exit(child.Main(os.Args[2:], ownJobs()))
	}
	goleak.VerifyTestMain(m)
}

// Fifty nodes, so that it does not rot. The figures mean nothing, but that they
// are there does.
func TestAllRows(t *testing.T) {
	dir := t.TempDir()
	aggregator := filepath.Join(dir, "rollcall-aggregator")
	if err := child.BuildLike(t.Context(), aggregator, "github.com/rollcall-metrics/rollcall/aggregator"); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Options: report.Options{Binary: aggregator, JSON: filepath.Join(dir, "docs", "fleet.json"), Only: ".", Dir: dir},
		Nodes:   50, Resolution: 5 * time.Second, Rounds: 2, Refreshes: 1, Cycles: 1, Requests: 20, Spread: 10 * time.Millisecond, Pace: 6 * time.Second, Seed: 1,
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), cfg, &out, t.Output()); err != nil {
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
	if r.Date.IsZero() || r.Commit == "" || r.Go == "" || r.CPU == "" || r.Cores == 0 || r.Nodes != cfg.Nodes {
		t.Errorf("the report does not say where and when, and of how many: %+v", r)
	}
	for i, want := range rows() {
		if i >= len(r.Rows) || r.Rows[i].Key != want.Key {
			t.Fatalf("row %d is not %s", i, want.Key)
		}
		row := r.Rows[i]
		// Fifty members, or 1500 pods, add less than a process's memory varies; and
		// who may ask was found out before.
		small := slices.Contains([]string{"roster/memory", "resource-memory/pods", "resource-hpa/reviews", "dashboard/memory"}, row.Key)
		if !row.Measured || math.IsNaN(row.Figure) || row.Figure <= 0 && !small {
			t.Errorf("%s: %+v", want.Key, row)
		}
		if !strings.Contains(out.String(), row.What) {
			t.Errorf("%q is not printed", row.What)
		}
	}
	// What does not depend on how fast the machine is.
	for _, key := range []string{"container/asked", "faults/named"} {
		i := slices.IndexFunc(r.Rows, func(row *report.Row) bool { return row.Key == key })
		if !r.Rows[i].OK {
			t.Errorf("%s: %+v", key, r.Rows[i])
		}
	}
	if len(r.Tables) != 2 || len(r.Tables[0].Lines) != 4 || len(r.Tables[1].Lines) != 9 {
		t.Fatalf("tables %+v", r.Tables)
	}
	for _, table := range r.Tables {
		for _, l := range table.Lines {
			for j, column := range table.Columns {
				if l.Figures[j] <= 0 && l.Figures[j] != report.NotMeasured {
					t.Errorf("%s: %s is %v", l.What, column, l.Figures[j])
				}
			}
		}
	}
}

// Every measurement has rows, and --help names them all in their order.
func TestNames(t *testing.T) {
	var all []string
	for _, m := range (*bench).measurements(nil) {
		all = append(all, m.Name)
	}
	if got := strings.Split(names, ", "); !slices.Equal(got, all) {
		t.Errorf("--help names %v, there are %v", got, all)
	}
	with := map[string]bool{}
	for _, r := range rows() {
		name, _, _ := strings.Cut(r.Key, "/")
		with[name] = true
		if !slices.Contains(all, name) {
			t.Errorf("nothing measures %s", r.Key)
		}
	}
	for _, name := range all {
		if !with[name] {
			t.Errorf("%s has no rows", name)
		}
	}
}

func TestJudge(t *testing.T) {
	missing := func(pairs ...string) (c covered) {
		for i := 0; i < len(pairs); i += 2 {
			c.Missing = append(c.Missing, struct{ Node, Outcome string }{pairs[i], pairs[i+1]})
		}
		return c
	}
	faulty := []string{"a", "b", "c"}
	more := missing("a", "timeout")
	more.NotListed = map[string]int{"timeout": 2}
	many := missing("a", "timeout")
	many.NotListed = map[string]int{"timeout": 3}
	for name, c := range map[string]struct {
		covered
		named int // −1: an error
	}{
		"all":             {missing("a", "timeout", "b", "truncated", "c", "timeout"), 3},
		"one not":         {missing("a", "timeout", "c", "timeout"), 2},
		"no outcome":      {missing("a", ""), 0},
		"not listed":      {more, 3},
		"a healthy node":  {missing("a", "timeout", "d", "timeout"), -1},
		"too many by far": {many, -1},
	} {
		named, _, err := judge(c.covered, faulty)
		if err != nil {
			named = -1
		}
		if named != c.named {
			t.Errorf("%s: %d are named, want %d; error %v", name, named, c.named, err)
		}
	}
}

// A question to agents is what the API makes of a path.
func TestTarget(t *testing.T) {
	got, err := target("/api/v1/node?start=1795230000&end=1795230000", 15*time.Second)
	if err != nil || !strings.HasPrefix(got, "/peer/v1/chunks?") || !strings.Contains(got, "from=1795230000") || !strings.Contains(got, "to=1795230000") {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := target("/api/v1/node?colour=red", 15*time.Second); err == nil {
		t.Errorf("a bad question became %q", got)
	}
}

func TestEnds(t *testing.T) {
	var e ends
	var all []byte
	for i := range 3000 {
		part := []byte(strings.Repeat(string(rune('a'+i%26)), i%512))
		all = append(all, part...)
		if n, err := e.Write(part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if string(e.head) != string(all[:headSize]) {
		t.Error("the beginning is another")
	}
	if len(e.tail) < tailSize || !strings.HasSuffix(string(all), string(e.tail)) {
		t.Errorf("the end of %d bytes is another", len(e.tail))
	}
}
