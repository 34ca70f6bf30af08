package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// registry is in front of the images' names. Nothing is there: nodes have the
// images already.
const registry = "rollcall.test/"

// Names of images; the tag of Rollcall's is the caller's.
const (
	WorkloadImage      = registry + "workload:test"
	PauseImage         = registry + "pause:test"
	CoreDNSImage       = registry + "coredns:test"
	MetricsServerImage = registry + "metrics-server:test"
)

// AgentImage is the name of the agent's image of a tag.
func AgentImage(tag string) string { return registry + "rollcall-agent:" + tag }

// AggregatorImage is the name of the aggregator's image of a tag.
func AggregatorImage(tag string) string { return registry + "rollcall-aggregator:" + tag }

// A Choice is of images that not every cluster needs.
type Choice struct {
	// Tags are of Rollcall, which is built from the repository, and says the tag as
	// its --version.
	Tags []string
	// MetricsServer is for tests that replace it.
	MetricsServer bool
}

// Images builds images into archives: dir/<name>.tar. Those that every cluster
// needs and its tests use are always among them. binaries is what
// [Builder.Binaries] returned.
func (b *Builder) Images(ctx context.Context, dir, binaries string, choice Choice) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, "work-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	i := images{b, work, dir}
	b.Progress("building images")
	if err := i.base(ctx, binaries); err != nil {
		return err
	}
	if choice.MetricsServer {
		if err := i.metricsServer(ctx); err != nil {
			return err
		}
	}
	for _, tag := range choice.Tags {
		b.Progress("building images of Rollcall %s", tag)
		if err := i.rollcall(ctx, tag); err != nil {
			return err
		}
	}
	return nil
}

// images are built in work, which is removed, into archives in dir.
type images struct {
	*Builder
	work, dir string
}

// base builds the workload's, which is the pause container's as well, and
// CoreDNS's.
func (i images) base(ctx context.Context, binaries string) error {
	workload := filepath.Join(i.work, "workload")
	if _, err := output(i.goCommand(ctx, "", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", workload, "./workload")); err != nil {
		return err
	}
	return errors.Join(
		i.image(ctx, WorkloadImage, workload, "/workload"),
		i.image(ctx, PauseImage, workload, "/workload", "pause"),
		i.image(ctx, CoreDNSImage, filepath.Join(binaries, "coredns"), "/coredns"))
}

func (i images) metricsServer(ctx context.Context) error {
	binaries, err := i.cached(ctx, metricsServer())
	if err != nil {
		return err
	}
	return i.image(ctx, MetricsServerImage, filepath.Join(binaries, "metrics-server"), "/metrics-server")
}

// image makes one of a static binary, with this command line, into the archive
// that is called as the image.
func (i images) image(ctx context.Context, name, binary string, command ...string) error {
	context, err := os.MkdirTemp(i.work, "context-")
	if err != nil {
		return err
	}
	if err := copyFile(filepath.Join(context, "binary"), binary); err != nil {
		return err
	}
	text := fmt.Sprintf("FROM scratch\nCOPY binary %s\nUSER 65532:65532\nENTRYPOINT [\"%s\"]\n", command[0], strings.Join(command, `", "`))
	build := i.buildah(ctx, "build", "--quiet", "-f", "-", "-t", name, context)
	build.Stdin = strings.NewReader(text)
	if _, err := output(build); err != nil {
		return err
	}
	file, _, _ := strings.Cut(strings.TrimPrefix(name, registry), ":")
	return i.save(ctx, name, file, name)
}

// rollcall builds Rollcall's own, as its users do, with make.
func (i images) rollcall(ctx context.Context, tag string) error {
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	make := exec.CommandContext(ctx, "make", "-C", i.Repository, "images",
		"ARCHES="+runtime.GOARCH, "VERSION="+tag, "IMAGE_BUILDER="+strings.Join(i.buildah(ctx).Args, " "))
	make.Env = append(i.goCommand(ctx, "").Env, "MAKEFLAGS=", "MAKELEVEL=")
	// It leaves binaries in bin/ between compiler and image.
	waiting := func() { i.Progress("waiting for another process that builds images") }
	err = locked(ctx, filepath.Join(cache, "images.lock"), waiting, func() error {
		_, err := output(make)
		return err
	})
	if err != nil {
		return err
	}
	for local, name := range map[string]string{
		"rollcall-agent": AgentImage(tag), "rollcall-aggregator": AggregatorImage(tag),
	} {
		if err := i.save(ctx, fmt.Sprintf("%s:%s-%s", local, tag, runtime.GOARCH), local+"-"+tag, name); err != nil {
			return err
		}
	}
	return nil
}

// save writes an image to an archive, under the name given.
func (i images) save(ctx context.Context, image, file, name string) error {
	archive := filepath.Join(i.dir, file+".tar")
	_, err := output(i.buildah(ctx, "push", "--quiet", image, "docker-archive:"+archive+":"+name))
	return err
}

// buildah keeps everything in the working directory, and needs no daemon.
func (i images) buildah(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"--root", i.work + "/root", "--runroot", i.work + "/run", "--storage-driver", "vfs"}, args...)
	return exec.CommandContext(ctx, "buildah", args...)
}

// copyFile copies, as a build context takes no link to elsewhere.
func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}
