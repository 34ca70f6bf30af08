// Command rollcall-fleet runs a whole fleet on this machine: stand-in kubelets
// that replay what a real kubelet answered, and real agents and aggregators.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

// version is set by the linker.
var version = "dev"

const about = `
rollcall-fleet runs a whole fleet in one process, for a first look and for
tests: stand-in kubelets that replay what a real kubelet answered, real agents
with rings on disk, real gossip and mutual TLS, and real aggregators. Each host
has a loopback address of its own.

  rollcall-fleet --nodes 3 --backfill 20m

The admin API orders faults, and tells what the kubelets really served:

  curl -X POST '127.0.0.1:8090/nodes/node-2/agent?action=pause'
  curl -X POST '127.0.0.1:8090/nodes/node-2/kubelet?fault=status:500'
  curl '127.0.0.1:8090/truth?node=node-1&from=…&to=…'`

func main() {
	cfg := &Config{}
	c := cli.Command{Name: "rollcall-fleet", About: about, Version: version, Config: cfg, LogLevel: "error",
		Run: func(ctx context.Context, log *slog.Logger) error {
			return run(ctx, *cfg, os.Stdout, log)
		}}
	os.Exit(c.Main())
}
