package app

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

const good = "--node-name node-1 --kubelet-address 127.0.0.1 --gossip-advertise 127.0.0.1 --tls-cert-file c --tls-key-file k --tls-ca-file a "

func TestFlags(t *testing.T) {
	t.Setenv("NODE_NAME", "")
	t.Setenv("HOST_IP", "")
	t.Setenv("POD_IP", "")
	for args, want := range map[string]string{
		"":                                   "",
		"--node-name=":                       "--node-name",
		"--node-name Node_1":                 `--node-name "Node_1"`,
		"--kubelet-address kubelet":          "--kubelet-address",
		"--kubelet-port 0":                   "--kubelet-port",
		"--kubelet-request-timeout 0s":       "--kubelet-request-timeout",
		"--kubelet-client-certificate x":     "--kubelet-client-key",
		"--metric-resolution 7s":             "--metric-resolution",
		"--metric-duration 1m":               "--metric-duration 1m0s",
		"--data-dir=":                        "--data-dir",
		"--max-disk 1Mi":                     "--max-disk 1Mi",
		"--max-disk 12parsec":                "--max-disk",
		"--local-listen :9811":               "--local-listen",
		"--local-listen 10.0.0.1:9811":       "--local-listen",
		"--peer-listen nowhere":              "--peer-listen",
		"--gossip-advertise 0.0.0.0":         "--gossip-advertise",
		"--gossip-port 70000":                "--gossip-port",
		"--join a:b:c":                       "--join",
		"--tls-cert-file=":                   "--tls-cert-file",
		"--kubelet-insecure-tls=perhaps":     "--kubelet-insecure-tls",
		"--metric-resolution 15":             "--metric-resolution",
		"--cluster-label " + long:            "--cluster-label",
		"--namespaces shop,batch --teapot":   "--teapot",
		"--metric-resolution 7s --data-dir=": "--data-dir",
	} {
		cfg, ran := &Config{}, false
		c := cli.Command{Name: "rollcall-agent", Config: cfg, Run: func(context.Context, *slog.Logger) error { ran = true; return nil }}
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

var long = strings.Repeat("x", 300)

// With enrolment the certificate is not from files.
func TestFlagsOfEnrolment(t *testing.T) {
	const enrolling = "--node-name node-1 --kubelet-address 127.0.0.1 --gossip-advertise 127.0.0.1 --enrol aggregators:9810 "
	for args, want := range map[string]string{
		"--tls-ca-file a --gossip-key-file g":                     "",
		"--gossip-key-file g":                                     "--tls-ca-file",
		"--tls-ca-file a":                                         "--gossip-key-file",
		"--tls-ca-file a --gossip-key-file g --tls-cert-file c":   "exclude each other",
		"--tls-ca-file a --gossip-key-file g --enrol aggregators": "--enrol",
		"--tls-ca-file a --gossip-key-file g --enrol :9810":       "--enrol",
		"--tls-ca-file a --gossip-key-file g --enrol-token-file=": "--enrol-token-file",
		"--tls-ca-file a --gossip-key-file g --enrol=":            "see --enrol",
	} {
		cfg, ran := &Config{}, false
		c := cli.Command{Name: "rollcall-agent", Config: cfg, Run: func(context.Context, *slog.Logger) error { ran = true; return nil }}
		var stderr strings.Builder
		code := c.Exec(t.Context(), strings.Fields(enrolling+args), io.Discard, &stderr)
		if want == "" && (code != 0 || !ran) {
			t.Errorf("good flags: exit code %d, %s", code, &stderr)
		}
		if want != "" && (code != 2 || !strings.Contains(stderr.String(), want)) {
			t.Errorf("%s: exit code %d, want 2 and %q; got %s", args, code, want, &stderr)
		}
	}
}
