package app

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

const good = "--name aggregator-1 --gossip-advertise 127.0.0.1 --tls-cert-file c --tls-key-file k --tls-ca-file a "

func TestFlags(t *testing.T) {
	t.Setenv("POD_NAME", "")
	t.Setenv("POD_IP", "")
	for args, want := range map[string]string{
		"":                             "",
		"--name=":                      "--name",
		"--metric-resolution 7s":       "--metric-resolution",
		"--node-timeout 0s":            "--node-timeout 0s",
		"--request-timeout -1s":        "--request-timeout -1s",
		"--in-flight 0":                "--in-flight 0",
		"--node-budget -1":             "--node-budget -1",
		"--query-budget 0":             "--query-budget 0",
		"--process-budget -1":          "--process-budget -1",
		"--debug-listen 0.0.0.0:9811":  "--debug-listen",
		"--gossip-advertise 224.0.0.1": "--gossip-advertise",
		"--tls-ca-file=":               "--tls-ca-file",
		"stray":                        "stray",
	} {
		cfg, ran := &Config{}, false
		c := cli.Command{Name: "rollcall-aggregator", Config: cfg, Run: func(context.Context, *slog.Logger) error { ran = true; return nil }}
		var stderr strings.Builder
		code := c.Exec(t.Context(), strings.Fields(good+args), io.Discard, &stderr)
		if want == "" {
			if code != 0 || !ran {
				t.Errorf("good flags: exit code %d, %s", code, &stderr)
			}
			continue
		}
		if code != 2 || ran || !strings.Contains(stderr.String(), want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit code %d, want 2 and a line that names %s; got %s", args, code, want, &stderr)
		}
	}
}
