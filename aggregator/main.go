// Command rollcall-aggregator answers for the whole fleet.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/rollcall-metrics/rollcall/aggregator/app"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

// version is set by the linker.
var version = "dev"

const about = `
rollcall-aggregator learns the agents by gossip, asks them, merges what they
say, and always says who did not answer. It keeps no history of its own: run
two or more, and restart them as you like.

In a cluster, with the manifests, which give it a certificate authority:
  rollcall-aggregator --authority --expected-nodes=kubernetes --join rollcall-members

With certificates from elsewhere:
  rollcall-aggregator --name aggregator-1 --gossip-advertise 10.0.0.20 \
    --join rollcall-members --gossip-key-file /etc/rollcall/gossip.keys \
    --tls-cert-file /etc/rollcall/tls.crt --tls-key-file /etc/rollcall/tls.key \
    --tls-ca-file /etc/rollcall/ca.crt

All nodes, last 15 min:  curl http://127.0.0.1:8000/api/v1/node
One pod, a point a min:  curl 'http://127.0.0.1:8000/api/v1/pod/shop/cart?step=1m'
Who is here, who is not: curl http://127.0.0.1:9811/debug/roster`

func main() {
	cfg := &app.Config{}
	c := cli.Command{Name: "rollcall-aggregator", About: about, Version: version, Config: cfg,
		Subcommands: []cli.Command{app.RotateGossipKey(version), app.ForwardDashboard(version)},
		Run: func(ctx context.Context, log *slog.Logger) error {
			cli.TuneMemory(app.GCPercent, log)
			app.LogKubernetes(log)
			cfg.WarnOfScraper(log)
			a, err := app.New(ctx, *cfg, version, log)
			if err != nil {
				return err
			}
			return a.Run(ctx)
		}}
	os.Exit(c.Main())
}
