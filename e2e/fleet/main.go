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
  curl '127.0.0.1:8090/truth?node=node-1&from=…&to=…'

Virtual nodes are for sizes at which real agents do not fit on a machine. They
share a process, and skip kubelet and disk; but each has its own address,
certificate, names and values, a day of history in stored chunks, and answers
with the agent's own code over mutual TLS. A crowd is their gossip. To keep the
aggregator's CPU apart, run it as a process of its own; the fleet prints the
command line:

  rollcall-fleet --virtual-nodes 5000 --aggregators 0 --data /tmp/fleet

A fleet of 5000 takes 5000 file descriptors and one more for each connection of
an aggregator: ulimit -Hn of 20000 is enough for one in the same process, or two
outside. They fail by orders, too, one node, a range, or all:

  curl -X POST '127.0.0.1:8090/virtual?nodes=node-1..node-50&fault=slow:3s'
  curl -X POST '127.0.0.1:8090/virtual?nodes=all&fault=none'
  curl -X POST '127.0.0.1:8090/virtual?nodes=node-1..node-2000&action=vanish'
  curl -X POST '127.0.0.1:8090/nodes/node-7/agent?action=reboot'

  fault:  none, blackhole (connects, then silence), slow:3s, trickle (byte by
          byte), endless, garbage, wrongnode (another node's data), version
          (404), type (a page of HTML), duplicate (every chunk twice), shift:-5h
          (timestamps off), size:10 (ten times the pods)
  action: stop, kill (connections are reset, then refused), start, restart,
          move (restart at another address), reboot (kill, then start at another
          address), vanish (packets get lost, gossip too), return`

func main() {
	cfg := &Config{}
	c := cli.Command{Name: "rollcall-fleet", About: about, Version: version, Config: cfg, LogLevel: "error",
		Run: func(ctx context.Context, log *slog.Logger) error {
			return run(ctx, *cfg, os.Stdout, log)
		}}
	os.Exit(c.Main())
}
