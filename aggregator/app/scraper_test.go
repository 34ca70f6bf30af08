package app

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/dashboard"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

// parsed runs an aggregator's command line as far as the aggregator's start.
func parsed(t *testing.T, args string) (cfg *Config, code int, stderr string) {
	t.Helper()
	t.Setenv("POD_NAME", "")
	t.Setenv("POD_IP", "")
	t.Setenv("POD_NAMESPACE", "rollcall") // which is never what to show
	cfg = &Config{}
	c := cli.Command{Name: "rollcall-aggregator", Config: cfg, Run: func(_ context.Context, log *slog.Logger) error {
		cfg.WarnOfScraper(log)
		return nil
	}}
	var b strings.Builder
	code = c.Exec(t.Context(), strings.Fields(good+args), io.Discard, &b)
	return cfg, code, b.String()
}

// The arguments of a metrics scraper work, whatever its release.
func TestScraperFlags(t *testing.T) {
	all, shop := []string(nil), []string{"shop"}
	cases := map[string]struct {
		args       string
		window     time.Duration
		namespaces []string
		warns      string // of these flags, in this order
	}{
		"none":                    {"", 15 * time.Minute, all, ""},
		"window":                  {"--dashboard-window=1h", time.Hour, all, ""},
		"a day":                   {"--dashboard-window=24h", 24 * time.Hour, all, ""},
		"a slot":                  {"--dashboard-window=15s", 15 * time.Second, all, ""},
		"duration":                {"--metric-duration=30m", 30 * time.Minute, all, ""},
		"duration of two days":    {"--metric-duration=48h", 24 * time.Hour, all, "metric-duration"},
		"duration of no slot":     {"--metric-duration=5s", 15 * time.Second, all, "metric-duration"},
		"window wins over long":   {"--metric-duration=48h --dashboard-window=1h", time.Hour, all, ""},
		"window wins":             {"--metric-duration=30m --dashboard-window=1h", time.Hour, all, ""},
		"window wins, first":      {"--dashboard-window=1h --metric-duration=30m", time.Hour, all, ""},
		"window wins, as default": {"--metric-duration=30m --dashboard-window=15m", 15 * time.Minute, all, ""},
		"window wins over bad":    {"--metric-duration=0s --dashboard-window=1h", time.Hour, all, ""},
		"namespaces":              {"--namespaces=shop,web", 15 * time.Minute, []string{"shop", "web"}, ""},
		"all namespaces":          {"--namespaces=", 15 * time.Minute, all, ""},
		"all and one":             {"--namespaces=shop,", 15 * time.Minute, all, ""},
		"namespace":               {"--namespace=shop", 15 * time.Minute, shop, "namespace"},
		"namespace, short":        {"-n shop", 15 * time.Minute, shop, "namespace"},
		"two of them":             {"-n shop --namespace=web", 15 * time.Minute, []string{"shop", "web"}, "namespace"},
		"namespace all":           {"--namespace=", 15 * time.Minute, all, "namespace"},
		"both the same":           {"--namespace=web,shop --namespaces=shop,web", 15 * time.Minute, []string{"shop", "web"}, "namespace"},
		"both all":                {"--namespace= --namespaces=", 15 * time.Minute, all, "namespace"},
		"db-file":                 {"--db-file=/tmp/metrics.db", 15 * time.Minute, all, "db-file"},
		"as a manifest has it":    {"--log-level=info --logtostderr=true", 15 * time.Minute, all, "logtostderr"},
		"verbosity":               {"-v=4", 15 * time.Minute, all, "v"},
		"verbosity, long":         {"--v 4", 15 * time.Minute, all, "v"},
		"all at once": {"--db-file=/data/m.db --metric-resolution=1m --metric-duration=10m --namespace=shop --logtostderr -v 1",
			10 * time.Minute, shop, "namespace db-file logtostderr v"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg, code, stderr := parsed(t, c.args)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if cfg.DashboardWindow != c.window {
				t.Errorf("window %v, want %v", cfg.DashboardWindow, c.window)
			}
			if !slices.Equal(cfg.Namespaces, c.namespaces) || cfg.Namespace != "rollcall" {
				t.Errorf("namespaces %q of %q, want %q of rollcall", cfg.Namespaces, cfg.Namespace, c.namespaces)
			}
			var warned []string
			for line := range strings.Lines(stderr) {
				_, after, _ := strings.Cut(line, "level=WARN msg=\"flag of the metrics scraper\" flag=--")
				flag, _, _ := strings.Cut(after, " ")
				warned = append(warned, flag)
			}
			if got := strings.Join(warned, " "); got != c.warns {
				t.Errorf("warned of %q, want %q: %s", got, c.warns, stderr)
			}
		})
	}
}

func TestScraperFlagsRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--dashboard-window=0s":                           "--dashboard-window 0s is not positive",
		"--dashboard-window=-1m":                          "--dashboard-window -1m0s is not positive",
		"--dashboard-window=14s":                          "--dashboard-window 14s is less than a slot, which is 15s long",
		"--dashboard-window=25h":                          "--dashboard-window 25h0m0s is more than 24h0m0s",
		"--metric-duration=0s":                            "--metric-duration 0s is not positive",
		"--metric-resolution=7s":                          "it has to be the agents', 15s if theirs is not set",
		"--metric-resolution=0s":                          "--metric-resolution",
		"--namespace=shop --namespaces=web":               `--namespace ["shop"] and --namespaces ["web"] differ`,
		"--namespace=shop --namespaces=":                  "differ, and mean the same: leave out --namespace",
		"--namespace= --namespaces=shop":                  "differ",
		"--metric-duration=soon":                          "--metric-duration",
		"--namespaces=shop --dashboard-window=0s -n=shop": "--dashboard-window 0s",
	} {
		if _, code, stderr := parsed(t, args); code != 2 || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, want 2 and a line with %q; got %s", args, code, want, stderr)
		}
	}
}

// They are in --help, with what they mean here.
func TestScraperFlagsHelp(t *testing.T) {
	c := cli.Command{Name: "rollcall-aggregator", Config: &Config{}}
	var help strings.Builder
	if code := c.Exec(t.Context(), []string{"--help"}, &help, io.Discard); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, flag := range []string{"--metric-resolution", "--metric-duration", "--namespaces", "-n, --namespace ", "--db-file", "--logtostderr", "-v, --v ", "--own-namespace"} {
		if !strings.Contains(help.String(), flag) {
			t.Errorf("%s is not there:\n%s", flag, &help)
		}
	}
}

// A Config that no flags filled in has the default.
func TestDashboardWindowWithoutFlags(t *testing.T) {
	cfg := &Config{Resolution: 15 * time.Second}
	cfg.complete("")
	if err := cfg.validateDashboard(); err != nil || cfg.DashboardWindow != dashboard.DefaultWindow {
		t.Errorf("%v, %v", cfg.DashboardWindow, err)
	}
}
