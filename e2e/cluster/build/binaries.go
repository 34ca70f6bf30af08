package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A program is built from a module that pins its version.
type program struct{ module, pkg string }

// A set of programs is built together, and kept together.
type set struct {
	// name and module are those of what gives the set its version.
	name, module string
	// takes is how long that takes on 2 cores.
	takes    string
	programs []program
}

func kubernetes() set {
	const k, cmd = "kubernetes", "k8s.io/kubernetes/cmd/"
	return set{"Kubernetes", "k8s.io/kubernetes", "about 7 minutes", []program{
		{k, cmd + "kube-apiserver"},
		{k, cmd + "kube-controller-manager"},
		{k, cmd + "kube-scheduler"},
		{k, cmd + "kubelet"},
		{k, cmd + "kube-proxy"},
		{k, cmd + "kubectl"},
		{"coredns", "github.com/coredns/coredns"},
	}}
}

func metricsServer() set {
	const module = "sigs.k8s.io/metrics-server"
	return set{"metrics-server", module, "about 3 minutes", []program{{"metrics-server", module + "/cmd/metrics-server"}}}
}

// modules are the directories of the modules that pin the programs.
func (s set) modules() (names []string) {
	for _, p := range s.programs {
		names = append(names, p.module)
	}
	return slices.Compact(names)
}

// tellEvery is how often a build that goes on is told of.
const tellEvery = 20 * time.Second

// Binaries returns the directory with the cluster's binaries. They are built
// once for a version, which takes minutes, and kept in the user's cache.
func (b *Builder) Binaries(ctx context.Context) (string, error) { return b.cached(ctx, kubernetes()) }

// cached is the directory with a set's binaries.
func (b *Builder) cached(ctx context.Context, s set) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	key, err := b.key(ctx, s)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	waiting := func() { b.Progress("waiting for another process that builds %s", s.name) }
	err = locked(ctx, filepath.Join(cache, "build.lock"), waiting, func() error {
		if _, err := os.Stat(dir); err == nil {
			return nil // the other process has built it
		}
		return b.buildAll(ctx, s, cache, dir)
	})
	if err != nil {
		return "", fmt.Errorf("build %s: %w", s.name, err)
	}
	return dir, nil
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
func (b *Builder) key(ctx context.Context, s set) (string, error) {
	modules := s.modules()
	version, err := output(b.goCommand(ctx, modules[0], "version"))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, version, ldflags(""), s.programs)
	for _, module := range modules {
		for _, file := range []string{"go.mod", "go.sum"} {
			text, err := os.ReadFile(filepath.Join(b.Repository, "e2e", "cluster", module, file))
			if err != nil {
				return "", err
			}
			sum.Write(text)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}

// buildAll builds beside dir, so that dir is complete if it is there.
func (b *Builder) buildAll(ctx context.Context, s set, cache, dir string) (err error) {
	began := time.Now()
	tmp, err := os.MkdirTemp(cache, "build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	version, err := output(b.goCommand(ctx, s.modules()[0], "list", "-m", "-f", "{{.Version}}", s.module))
	if err != nil {
		return err
	}
	b.Progress("building %s %s, once: %s on 2 cores", s.name, version, s.takes)
	for i, p := range s.programs {
		out := filepath.Join(tmp, "bin", filepath.Base(p.pkg))
		stop := b.tell("building %s (%d of %d)", filepath.Base(p.pkg), i+1, len(s.programs))
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
