package report

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		row    Row
		figure float64
		want   string
	}{
		"at most, less":  {Row{Target: 5}, 4, "ok"},
		"at most, same":  {Row{Target: 5}, 5, "ok"},
		"at most, more":  {Row{Target: 5}, 6, "MISS"},
		"at least, more": {Row{Target: 5, AtLeast: true}, 6, "ok"},
		"at least, same": {Row{Target: 5, AtLeast: true}, 5, "ok"},
		"at least, less": {Row{Target: 5, AtLeast: true}, 4, "MISS"},
		"no target":      {Row{}, 4, ""},
	} {
		c.row.set(c.figure)
		if got := c.row.verdict(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := (&Row{}).verdict(); got != "skipped" {
		t.Errorf("not measured: %q", got)
	}
}

// What is not measured stays in the table and says why.
func TestMeasure(t *testing.T) {
	r := NewRun(New("title", []*Row{
		{Key: "good/a", What: "what is good", Unit: "ms", Target: 5},
		{Key: "bad/a", What: "measured before it failed", Unit: "ms"}, {Key: "bad/b", What: "never measured", Unit: "ms"},
		{Key: "absent/a", What: "what cannot be measured", Unit: "ms"}, {Key: "other/a", What: "what nobody asked for", Unit: "ms"},
	}), io.Discard)
	err := r.Measure(t.Context(), regexp.MustCompile("good|bad|absent"), []Measurement{
		{"good", func(context.Context) error { r.Set("good/a", 7.25, "of %d", 3); return nil }},
		{"bad", func(context.Context) error { r.Set("bad/a", 1, ""); return errors.New("broken\nbadly") }},
		{"absent", func(context.Context) error { r.Skip("absent", "not measured: nothing to measure"); return nil }},
		{"other", func(context.Context) error { t.Error("measured"); return nil }},
	})
	if err == nil || !strings.Contains(err.Error(), "bad: broken") {
		t.Errorf("error %v", err)
	}
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`what is good \[1\] +7\.25 ms +≤ 5 ms +MISS`, `measured before it failed +1 ms`, `never measured \[2\] +– +FAILED`, `what cannot be measured \[3\] +– +skipped`,
		`\[1\] of 3`, `\[2\] not measured: broken; badly`, `\[3\] not measured: nothing to measure`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "nobody asked for") {
		t.Errorf("printed\n%s", &out)
	}
}

func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := NewRun(New("title", []*Row{{Key: "a/a"}, {Key: "b/b"}}), io.Discard)
	err := r.Measure(ctx, regexp.MustCompile("."), []Measurement{
		{"a", func(context.Context) error { cancel(); return errors.New("hung up") }},
		{"b", func(context.Context) error { t.Error("measured"); return nil }},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
