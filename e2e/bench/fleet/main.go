// Command fleet measures the aggregator among thousands of nodes against its
// targets; see docs/bench.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

const about = `
fleet measures what the aggregator costs with 5000 nodes of 30 pods each, beside
two baselines: the same bytes over bare TLS, and a central scraper. It prints one
table and writes the same as JSON. A target that is missed stays in the table and
is no failure; the exit code is 1 if something could not be measured.

  make bench-fleet                                  all of it, some minutes
  go run ./e2e/bench/fleet --only 'warm|history'    part of it
  go run ./e2e/bench/fleet --nodes 500              a first look
  go run ./e2e/bench/fleet --profile /tmp/prof      with CPU and heap profiles

The measurements, for --only: ` + names + `.
What each row means and how it is measured: docs/bench/README.md`

func main() {
	if len(os.Args) > 1 && os.Args[1] == ownCommand {
		os.Exit(child.Main(os.Args[2:], ownJobs()))
	}
	cfg := &Config{}
	c := cli.Command{Name: "fleet", About: about, Version: "of this source tree", LogLevel: "error", Config: cfg,
		Run: func(ctx context.Context, _ *slog.Logger) error { return run(ctx, *cfg, os.Stdout, os.Stderr) }}
	os.Exit(c.Main())
}
