// Command rollcall-agent keeps the history of one node.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/rollcall-metrics/rollcall/agent/app"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

// version is set by the linker.
var version = "dev"

const about = `
rollcall-agent runs on every node. Once a slot it reads the Summary API of the
node's kubelet, keeps the history in a ring on disk, and answers aggregators.
It needs no API server, and keeps serving history when the kubelet is down.

In a cluster, with the manifests, where an aggregator signs its certificate:
  rollcall-agent --enrol rollcall-members:9810 --tls-ca-file /var/run/rollcall/ca.crt \
    --join rollcall-members --gossip-key-file /var/run/rollcall/gossip.keys

With certificates from elsewhere:
  rollcall-agent --node-name node-1 --kubelet-address 10.0.0.11 \
    --join rollcall-members --gossip-key-file /etc/rollcall/gossip.keys \
    --tls-cert-file /etc/rollcall/tls.crt --tls-key-file /etc/rollcall/tls.key \
    --tls-ca-file /etc/rollcall/ca.crt

Ask it on its own node: curl http://127.0.0.1:9811/api/v1/node
What the kubelet said:  curl http://127.0.0.1:9811/debug/summary
What is in the ring:    curl http://127.0.0.1:9811/debug/ring`

func main() {
	cfg := &app.Config{}
	c := cli.Command{Name: "rollcall-agent", About: about, Version: version, Config: cfg,
		Subcommands: []cli.Command{app.Prepare()},
		Run: func(ctx context.Context, log *slog.Logger) error {
			app.TuneRuntime(log)
			a, err := app.New(ctx, *cfg, version, log)
			if err != nil {
				return err
			}
			return a.Run(ctx)
		}}
	os.Exit(c.Main())
}
