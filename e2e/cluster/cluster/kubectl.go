package cluster

import (
	"context"
	"os"
	"os/exec"
)

// Kubectl runs kubectl as the cluster's admin and returns its standard output.
// Its error has what kubectl said. stdin may be nil.
func (c *Cluster) Kubectl(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.binary("kubectl"), args...)
	// Of its own: it keeps a cache of what the API server offers.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "HOME="+c.dir)
	return output(cmd, stdin, (*exec.Cmd).Start)
}
