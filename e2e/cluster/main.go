// Command rollcall-cluster runs a real Kubernetes cluster on this machine, with
// Rollcall in it.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/sandbox"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

const about = `
rollcall-cluster runs a real Kubernetes cluster on this machine: etcd, a control
plane, and nodes that each have a network, containerd, kubelet and kube-proxy of
their own; with the images of this checkout of Rollcall, and its manifests.

  rollcall-cluster --nodes 3

It needs root, and Debian packages that it names if they are missing. Kubernetes
is compiled the first time, which takes minutes. Everything runs in namespaces
of its own, and ends with this process, however that ends.`

func main() {
	cfg := &Config{}
	code := 0
	c := cli.Command{Name: "rollcall-cluster", About: about, Version: "dev", Config: cfg, LogLevel: "error",
		Run: func(ctx context.Context, _ *slog.Logger) error {
			if err := sandbox.Possible(); err != nil {
				return err
			}
			code = sandbox.Run(sandbox.Program{Prepare: cfg.prepare, Work: func() int { return cfg.work(ctx) }})
			return nil
		}}
	os.Exit(max(c.Main(), code))
}
