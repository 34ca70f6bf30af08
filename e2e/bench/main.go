// Command bench measures the agent against its targets; see docs/bench.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

const about = `
bench measures what an agent costs on a full node, 110 pods with 200 containers
at 15 s, and compares it with targets. It prints one table and writes the same
as JSON. A target that is missed stays in the table and is no failure; the exit
code is 1 if something could not be measured.

  make bench-agent                                     all of it, about 15 minutes
  go run ./e2e/bench --only 'store|read'               part of it
  go run ./e2e/bench --only store --profile /tmp/prof  with CPU and heap profiles
  go run ./e2e/bench --slots 960 --days 0 --pace 0     a first look

The measurements, for --only: ` + names + `.
What each row means and how it is measured: docs/bench/README.md`

func main() {
	if len(os.Args) > 1 && os.Args[1] == ownCommand {
		os.Exit(child.Main(os.Args[2:], ownJobs()))
	}
	cfg := &Config{}
	c := cli.Command{Name: "bench", About: about, Version: "of this source tree", LogLevel: "error", Config: cfg,
		Run: func(ctx context.Context, log *slog.Logger) error { return run(ctx, *cfg, os.Stdout, os.Stderr, log) }}
	os.Exit(c.Main())
}
