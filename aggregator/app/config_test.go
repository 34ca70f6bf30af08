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

// With an authority in the cluster there are no files.
func TestFlagsOfAuthority(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "")
	const kubernetes = "--name aggregator-1 --gossip-advertise 127.0.0.1 --authority --expected-nodes kubernetes "
	for args, want := range map[string]string{
		"--own-namespace rollcall": "",
		"":                         "--authority needs --own-namespace",
		"--own-namespace rollcall --tls-cert-file c":                           "--authority excludes",
		"--own-namespace rollcall --gossip-key-file g":                         "--authority excludes",
		"--own-namespace rollcall --enrol-listen nowhere":                      "--enrol-listen",
		"--own-namespace rollcall --expected-nodes all":                        `--expected-nodes "all"`,
		"--own-namespace rollcall --expected-nodes-file f":                     "--expected-nodes-file",
		"--authority=false":                                                    "--authority",
		"--authority=false --tls-cert-file c --tls-key-file k --tls-ca-file a": "--expected-nodes=kubernetes needs --own-namespace",
	} {
		cfg, ran := &Config{}, false
		c := cli.Command{Name: "rollcall-aggregator", Config: cfg, Run: func(context.Context, *slog.Logger) error { ran = true; return nil }}
		var stderr strings.Builder
		code := c.Exec(t.Context(), strings.Fields(kubernetes+args), io.Discard, &stderr)
		if want == "" && (code != 0 || !ran || cfg.Roster.PeerPort != 9810) {
			t.Errorf("good flags: exit code %d, peer port %d, %s", code, cfg.Roster.PeerPort, &stderr)
		}
		if want != "" && (code != 2 || !strings.Contains(stderr.String(), want)) {
			t.Errorf("%s: exit code %d, want 2 and %q; got %s", args, code, want, &stderr)
		}
	}
}

// Outside of a cluster, what needs one says so.
func TestNoCluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	cfg := &Config{}
	c := cli.Command{Name: "rollcall-aggregator", Config: cfg, Run: func(ctx context.Context, log *slog.Logger) error {
		_, err := New(ctx, *cfg, "v1", log)
		return err
	}}
	var stderr strings.Builder
	args := "--name aggregator-1 --gossip-advertise 127.0.0.1 --authority --own-namespace rollcall"
	if code := c.Exec(t.Context(), strings.Fields(args), io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "service account token") {
		t.Errorf("exit code %d, %s", code, &stderr)
	}
}
