package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
	"github.com/rollcall-metrics/rollcall/e2e/cluster/sandbox"
)

// Objects of --metrics-server, which the tests apply, too.
var (
	//go:embed testdata/metrics-server.yaml
	metricsServerYAML string
	//go:embed testdata/usage.yaml
	usageYAML string
)

// startWithin is ten times what a start takes on two idle cores.
const startWithin = 5 * time.Minute

// progress returns what tells the time since it was made, and what goes on.
func progress() func(format string, args ...any) {
	began := time.Now()
	return func(format string, args ...any) {
		fmt.Printf("%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
}

// prepare builds, and opens the way in.
func (c *Config) prepare(ctx context.Context, out *sandbox.Outside) error {
	forward, err := sandbox.Listen(fmt.Sprintf("127.0.0.1:%d", c.Port))
	if err != nil {
		return fmt.Errorf("--port %d: %w; choose another one", c.Port, err)
	}
	out.Forward[cluster.APISocket] = forward
	return cluster.Prepare(ctx, out, progress(), c.images())
}

// work runs the cluster until ctx ends, and returns the exit code.
func (c *Config) work(ctx context.Context) int {
	if err := c.run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "rollcall-cluster: %v\n", err)
		return 1
	}
	return 0
}

func (c *Config) run(ctx context.Context) error {
	began, tell := time.Now(), progress()
	starting, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not up within %v", startWithin))
	defer cancel()
	k, err := cluster.Start(starting, cluster.Config{Nodes: c.Nodes, Images: c.images(), OutsidePort: c.Port, Progress: tell})
	if err != nil {
		return err
	}
	if err := c.apply(starting, k, tell); err != nil {
		return err
	}
	fmt.Printf("\n%d nodes are up after %v.\n", c.Nodes, time.Since(began).Round(100*time.Millisecond))
	c.explain(k)
	<-ctx.Done()

	began = time.Now()
	if err := k.Close(); err != nil {
		return err
	}
	fmt.Printf("stopped %d nodes and the control plane in %v\n", c.Nodes, time.Since(began).Round(time.Millisecond))
	return nil
}

// apply applies the manifests.
func (c *Config) apply(ctx context.Context, k *cluster.Cluster, tell func(string, ...any)) error {
	if c.NoRollcall {
		return nil
	}
	if c.MetricsServer {
		for _, objects := range []string{metricsServerYAML, usageYAML} {
			if _, err := k.Kubectl(ctx, []byte(objects), "apply", "--filename=-"); err != nil {
				return err
			}
		}
		tell("applied metrics-server, and pods with autoscalers in the namespace usage")
		return nil
	}
	if err := k.Apply(ctx, cluster.Manifests{Dir: c.Manifests, Tag: c.Tag, Components: c.Components}); err != nil {
		return err
	}
	tell("applied %s", c.Manifests)
	// One that does not come up is best looked at in a cluster that is up.
	if _, err := k.Kubectl(ctx, nil, "rollout", "status", "--namespace=rollcall", "daemonset,deployment", "--timeout=1m"); err != nil {
		tell("Rollcall does not run: %v", err)
		return nil
	}
	tell("Rollcall runs")
	return nil
}

// explain prints how to use the cluster.
func (c *Config) explain(k *cluster.Cluster) {
	fmt.Printf(`
  export KUBECONFIG=%s
  kubectl=%s
  $kubectl get pods --all-namespaces --output wide
`, k.OutsideKubeconfig, filepath.Join(sandbox.OuterBinDir(), "kubectl"))
	switch {
	case c.MetricsServer:
		fmt.Printf(`
docs/replace-metrics-server.md can be followed here, in a directory of the repository such as
bin/replace. In step 1, before kustomization.yaml is applied, have it name what is here:

  sed -i 's,https://github.com/rollcall-metrics/rollcall//,../../,; s,?ref=v0.1.0,,; s,registry.example.com,rollcall.test,; s,newTag: .*},newTag: %s},' kustomization.yaml

The way back has e2e/cluster/testdata/metrics-server.yaml for the manifest of the release.
`, c.Tag)
	case !c.NoRollcall:
		fmt.Print(`  $kubectl --namespace rollcall port-forward service/rollcall-aggregator 8000
`)
	}
	fmt.Print("\nCtrl-C takes it down.\n")
}
