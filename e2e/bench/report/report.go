// Package report is what a benchmark prints: one table of figures beside their
// targets, the same as JSON, and what each figure needs to be read rightly.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// A Report is all that was measured, as it is written.
type Report struct {
	// Title is printed above the table.
	Title  string    `json:"-"`
	Date   time.Time `json:"date"`
	Commit string    `json:"commit"`
	Go     string    `json:"go"`
	CPU    string    `json:"cpu"`
	Cores  int       `json:"cores"`
	Disk   string    `json:"disk,omitempty"`  // kind of file system
	Slots  int64     `json:"slots,omitempty"` // of history, which stand for 24 h
	Nodes  int       `json:"nodes,omitempty"` // of the fleet
	Rows   []*Row    `json:"rows"`
	// Tables compare; they have no targets.
	Tables []*Table `json:"tables,omitempty"`
	Notes  []string `json:"notes"`
}

// A Row is one figure.
type Row struct {
	Key  string `json:"key"`
	What string `json:"what"`
	// Measured tells whether Figure was measured; if not, Note says why.
	Measured bool    `json:"measured"`
	Figure   float64 `json:"figure"`
	Unit     string  `json:"unit"`
	// Target is what Figure is to be at most, or at least; 0 is none.
	Target  float64 `json:"target,omitempty"`
	AtLeast bool    `json:"atLeast,omitempty"`
	OK      bool    `json:"ok"`
	// Prototype is what the prototype had.
	Prototype string `json:"prototype,omitempty"`
	Note      string `json:"note,omitempty"`
	failed    bool
}

// set sets the figure, and whether it is as it should be.
func (r *Row) set(figure float64) {
	r.Measured, r.Figure = true, figure
	r.OK = r.Target == 0 || figure == r.Target || (figure > r.Target) == r.AtLeast
}

// target is the target in words.
func (r *Row) target() string {
	switch {
	case r.Target == 0:
		return ""
	case r.AtLeast:
		return "≥ " + Number(r.Target) + " " + r.Unit
	}
	return "≤ " + Number(r.Target) + " " + r.Unit
}

func (r *Row) verdict() string {
	switch {
	case r.failed:
		return "FAILED"
	case !r.Measured:
		return "skipped"
	case r.Target == 0:
		return ""
	case r.OK:
		return "ok"
	}
	return "MISS"
}

// A Table compares several figures of several things.
type Table struct {
	Name    string      `json:"name"`
	Columns []string    `json:"columns"`
	Lines   []TableLine `json:"lines"`
	Note    string      `json:"note,omitempty"`
}

// A TableLine has a figure for each column; NaN cannot be, a missing one is −1.
type TableLine struct {
	What    string    `json:"what"`
	Figures []float64 `json:"figures"`
}

// NotMeasured is a figure that a line of a table does not have.
const NotMeasured = -1

// New is a report about what is here now, with nothing measured yet.
func New(title string, rows []*Row) *Report {
	return &Report{
		Title: title, Date: time.Now().UTC().Truncate(time.Second), Commit: commit(), Go: runtime.Version(),
		CPU: cpuModel(), Cores: runtime.NumCPU(), Rows: rows, Notes: []string{},
	}
}

// Write writes the JSON.
func (r *Report) Write(path string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644)
}

// Print prints the tables.
func (r *Report) Print(out io.Writer) error {
	fmt.Fprintf(out, "%s, %s, commit %s, %s, %d × %s", r.Title, r.Date.Format("2006-01-02 15:04 MST"), r.Commit, r.Go, r.Cores, r.CPU)
	if r.Disk != "" {
		fmt.Fprintf(out, ", %s", r.Disk)
	}
	fmt.Fprint(out, "\n\n")
	var notes []string
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tfigure\ttarget\t\tprototype")
	for _, row := range r.Rows {
		mark := ""
		if row.Note != "" {
			notes = append(notes, row.Note)
			mark = fmt.Sprintf(" [%d]", len(notes))
		}
		figure := "–"
		if row.Measured {
			figure = Number(row.Figure) + " " + row.Unit
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\n", row.What, mark, figure, row.target(), row.verdict(), row.Prototype)
	}
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n%s\t%s\n", t.Name, strings.Join(t.Columns, "\t"))
		for _, l := range t.Lines {
			fmt.Fprint(w, l.What)
			for _, x := range l.Figures {
				if x == NotMeasured {
					fmt.Fprint(w, "\t–")
					continue
				}
				fmt.Fprint(w, "\t"+Number(x))
			}
			fmt.Fprintln(w)
		}
		if t.Note != "" {
			fmt.Fprintln(w, t.Note)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for i, n := range notes {
		fmt.Fprintf(out, "[%d] %s\n", i+1, n)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(out, n)
	}
	return nil
}

// Number writes three digits that matter, more before the point.
func Number(x float64) string {
	switch {
	case x >= 100 || x == float64(int64(x)):
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	case x >= 1:
		return fmt.Sprintf("%.2f", x)
	case x >= 0.1:
		return fmt.Sprintf("%.3f", x)
	}
	return fmt.Sprintf("%.4f", x)
}

// commit is what was built, "-dirty" if files were changed since.
func commit() string {
	out, err := exec.Command("git", "-c", "safe.directory=*", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func cpuModel() string {
	content, _ := os.ReadFile("/proc/cpuinfo") // on arm64 there is no model
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
