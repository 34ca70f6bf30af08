package cluster

import (
	"context"
	"os"
	"os/exec"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/sandbox"
)

// Kubectl runs kubectl as the cluster's admin and returns its standard output.
// Its error has what kubectl said. stdin may be nil.
func (c *Cluster) Kubectl(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.binary("kubectl"), args...)
	cmd.Env = append(os.Environ(), c.admin()...)
	return output(cmd, stdin, (*exec.Cmd).Start)
}

// Bash runs a script in a directory, with kubectl as an admin has it, and returns its
// standard output. Its error has what the commands said. The script ends with the
// first command that fails.
func (c *Cluster) Bash(ctx context.Context, dir, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), c.admin()...)
	cmd.Env = append(cmd.Env, "PATH="+sandbox.BinDir+":"+os.Getenv("PATH"))
	return output(cmd, nil, (*exec.Cmd).Start)
}

// admin is what makes an admin's environment.
func (c *Cluster) admin() []string {
	// HOME of its own: kubectl keeps a cache of what the API server offers.
	return []string{"KUBECONFIG=" + c.Kubeconfig, "HOME=" + c.dir}
}
