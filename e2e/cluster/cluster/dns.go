package cluster

import (
	"context"
	"os"
	"path/filepath"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
)

// deployDNS deploys CoreDNS.
func (c *Cluster) deployDNS(ctx context.Context) error {
	file := filepath.Join(c.dir, "coredns.yaml")
	err := render(file, "config/coredns.yaml", map[string]any{
		"Image": build.CoreDNSImage, "Domain": dnsDomain, "DNS": dnsService, "Replicas": min(2, len(c.Nodes)),
	})
	if err != nil {
		return err
	}
	manifest, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	_, err = c.Kubectl(ctx, manifest, "apply", "-f", "-")
	return err
}

// awaitDNS waits until CoreDNS answers on every node.
func (c *Cluster) awaitDNS(ctx context.Context) error {
	for _, n := range c.Nodes {
		r := n.Resolver()
		err := await(ctx, "CoreDNS, as seen from "+n.Name, n.components(), func(ctx context.Context) error {
			_, err := r.LookupHost(ctx, "kubernetes.default.svc."+dnsDomain+".")
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
