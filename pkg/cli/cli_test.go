package cli

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

type config struct{ every time.Duration }

func (c *config) AddFlags(fs *pflag.FlagSet) {
	fs.DurationVar(&c.every, "every", time.Minute, "how often")
}

func (c *config) Validate() error {
	if c.every <= 0 {
		return errors.Join(errors.New("--every must be positive"), errors.New("really"))
	}
	return nil
}

func TestExec(t *testing.T) {
	cases := map[string]struct {
		args           string
		code           int
		stdout, stderr string // what they have to hold
	}{
		"runs":               {"", 0, "", "at work"},
		"fails":              {"--every 13s", 1, "", "thing: thirteen; is bad\n"},
		"help":               {"--help", 0, "Does things.", ""},
		"help names flags":   {"-h", 0, "--every duration", ""},
		"version":            {"--version", 0, "thing v1.2.3\n", ""},
		"unknown flag":       {"--teapot", 2, "", "thing: unknown flag: --teapot; see thing --help\n"},
		"bad value":          {"--every soon", 2, "", `invalid argument "soon" for "--every" flag`},
		"invalid":            {"--every 0s", 2, "", "thing: --every must be positive; really; see thing --help\n"},
		"argument":           {"tea", 2, "", `unexpected argument "tea"`},
		"unknown log level":  {"--log-level loud", 2, "", "--log-level"},
		"unknown log format": {"--log-format xml", 2, "", "--log-format"},
		"subcommand":         {"other --every 5s", 0, "", "at other work"},
		"subcommand's help":  {"other --help", 0, "Does other things.", ""},
		"help names it":      {"--help", 0, "  other              Does other things.\n", ""},
		"its mistake":        {"other --teapot", 2, "", "thing other: unknown flag: --teapot; see thing other --help\n"},
		"its version":        {"other --version", 0, "thing other v1.2.3\n", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := &config{}
			cmd := Command{Name: "thing", About: "Does things.", Version: "v1.2.3", Config: cfg,
				Run: func(_ context.Context, log *slog.Logger) error {
					log.Info("at work")
					if cfg.every == 13*time.Second {
						return errors.New("thirteen\nis bad")
					}
					return nil
				},
				Subcommands: []Command{{Name: "other", About: "Does other things.", Config: &config{},
					Run: func(_ context.Context, log *slog.Logger) error { log.Info("at other work"); return nil }}}}
			var stdout, stderr strings.Builder
			if code := cmd.Exec(t.Context(), strings.Fields(c.args), &stdout, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
			if c.code == 2 && strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("a mistake got more than a line: %q", &stderr)
			}
		})
	}
}
