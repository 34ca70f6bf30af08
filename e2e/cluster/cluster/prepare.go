package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
	"github.com/rollcall-metrics/rollcall/e2e/cluster/sandbox"
)

// imagesDir is the directory with archives of images in the state directory.
const imagesDir = "images"

// Prepare builds, outside, what a cluster runs: it is a sandbox's
// [sandbox.Program].Prepare. Images are at least those of each [Config].
func Prepare(ctx context.Context, out *sandbox.Outside, progress func(format string, args ...any), images build.Choice) error {
	if err := missingPackages(); err != nil {
		return err
	}
	repository, err := build.FindRepository()
	if err != nil {
		return err
	}
	b := &build.Builder{Repository: repository, Progress: progress}
	if out.BinDir, err = b.Binaries(ctx); err != nil {
		return err
	}
	if err := b.Images(ctx, filepath.Join(out.Dir, imagesDir), out.BinDir, images); err != nil {
		return fmt.Errorf("build images: %w", err)
	}
	out.KeepLogs = filepath.Join(out.Dir, LogsDir)
	return nil
}

// archives are those that Prepare made, as they are called inside.
func archives(images build.Choice) []string {
	names := []string{"workload", "pause", "coredns"}
	if images.MetricsServer {
		names = append(names, "metrics-server")
	}
	for _, tag := range images.Tags {
		names = append(names, "rollcall-agent-"+tag, "rollcall-aggregator-"+tag)
	}
	for i, name := range names {
		names[i] = filepath.Join(sandbox.StateDir, imagesDir, name+".tar")
	}
	return names
}

// missingPackages says what apt-get has to install first.
func missingPackages() error {
	var missing, packages []string
	for _, need := range []struct{ program, pkg string }{
		{"etcd", "etcd-server"},
		{"containerd", "containerd"},
		{"ctr", "containerd"},
		{"runc", "runc"},
		{"/usr/lib/cni/ptp", "containernetworking-plugins"},
		{"nft", "nftables"},
		{"iptables", "iptables"},
		{"conntrack", "conntrack"},
		{"ip", "iproute2"},
		{"sysctl", "procps"},
		{"buildah", "buildah"},
		{"make", "make"},
	} {
		if found(need.program) {
			continue
		}
		missing = append(missing, need.program)
		if !slices.Contains(packages, need.pkg) {
			packages = append(packages, need.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("a cluster needs %s: apt-get install --no-install-recommends %s", strings.Join(missing, ", "), strings.Join(packages, " "))
}

// found looks for a program where [component] does, too: the PATH of a user may
// lack /usr/sbin.
func found(program string) bool {
	if _, err := exec.LookPath(program); err == nil {
		return true
	}
	_, err := os.Stat(filepath.Join("/usr/sbin", program))
	return err == nil
}
