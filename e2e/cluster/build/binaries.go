package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A program is built from a module that pins its version.
type program struct{ module, pkg string }

func programs() []program {
	const k, cmd = "kubernetes", "k8s.io/kubernetes/cmd/"
	return []program{
		{k, cmd + "kube-apiserver"},
		{k, cmd + "kube-controller-manager"},
		{k, cmd + "kube-scheduler"},
		{k, cmd + "kubelet"},
		{k, cmd + "kube-proxy"},
		{k, cmd + "kubectl"},
		{"coredns", "github.com/coredns/coredns"},
	}
}

// tellEvery is how often a build that goes on is told of.
const tellEvery = 20 * time.Second

// Binaries returns the directory with the cluster's binaries. They are built
// once for a version, which takes minutes, and kept in the user's cache.
func (b *Builder) Binaries(ctx context.Context) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	key, err := b.key(ctx)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	waiting := func() { b.Progress("waiting for another process that builds Kubernetes") }
	err = locked(ctx, filepath.Join(cache, "build.lock"), waiting, func() error {
		if _, err := os.Stat(dir); err == nil {
			return nil // the other process has built it
		}
		return b.buildAll(ctx, cache, dir)
	})
	return dir, err
}

// cacheDir is where binaries are kept.
func cacheDir() (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for the binaries of Kubernetes: %w", err)
	}
	dir := filepath.Join(user, "rollcall-cluster")
	return dir, os.MkdirAll(dir, 0o755)
}

// key is the same for the same binaries.
func (b *Builder) key(ctx context.Context) (string, error) {
	version, err := output(b.goCommand(ctx, "kubernetes", "version"))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, version, ldflags(""), programs())
	for _, file := range []string{"kubernetes/go.mod", "kubernetes/go.sum", "coredns/go.mod", "coredns/go.sum"} {
		text, err := os.ReadFile(filepath.Join(b.Repository, "e2e", "cluster", file))
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}

// buildAll builds beside dir, so that dir is complete if it is there.
func (b *Builder) buildAll(ctx context.Context, cache, dir string) (err error) {
	began := time.Now()
	tmp, err := os.MkdirTemp(cache, "build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	version, err := output(b.goCommand(ctx, "kubernetes", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"))
	if err != nil {
		return err
	}
	b.Progress("building Kubernetes %s, once: about 7 minutes on 2 cores", version)
	all := programs()
	for i, p := range all {
		out := filepath.Join(tmp, "bin", filepath.Base(p.pkg))
		stop := b.tell("building %s (%d of %d)", filepath.Base(p.pkg), i+1, len(all))
		_, err := output(b.goCommand(ctx, p.module, "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags(version), "-o", out, p.pkg))
		stop()
		if err != nil {
			return err
		}
	}
	b.Progress("built all in %v", time.Since(began).Round(time.Second))
	// Readable for all, as images are built from it and users of containers
	// run it.
	if err := os.Chmod(filepath.Join(tmp, "bin"), 0o755); err != nil {
		return err
	}
	return os.Rename(filepath.Join(tmp, "bin"), dir)
}

// ldflags set what Kubernetes tells as its version: clients compare it.
func ldflags(version string) string {
	const v = "k8s.io/component-base/version."
	major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	return fmt.Sprintf("-s -w -X %[1]sgitVersion=%[2]s -X %[1]sgitMajor=%[3]s -X %[1]sgitMinor=%[4]s", v, version, major, minor)
}

// tell tells what goes on now, and every few seconds until stop.
func (b *Builder) tell(format string, args ...any) (stop func()) {
	what, began := fmt.Sprintf(format, args...), time.Now()
	b.Progress("%s", what)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(tellEvery)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				b.Progress("%s, %v", what, time.Since(began).Round(time.Second))
			}
		}
	}()
	return func() { close(done); <-ended }
}
