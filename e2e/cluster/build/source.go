// Package build makes what a cluster runs: the binaries of Kubernetes, and
// images. It needs the network (the Go proxy) and so runs outside the sandbox.
package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Builder builds from one checkout of the repository.
type Builder struct {
	// Repository is its root.
	Repository string
	// Progress is told what goes on, a line at a time.
	Progress func(format string, args ...any)
}

// FindRepository is the root of the repository in which the working directory
// is.
func FindRepository() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "e2e", "cluster", "kubernetes", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in a checkout of Rollcall: there is no e2e/cluster/kubernetes/go.mod above it", wd)
		}
	}
}

// goCommand is the go tool in a module of e2e/cluster. What is in the
// environment of a test, such as GOFLAGS or a GOOS, must not change the result.
func (b *Builder) goCommand(ctx context.Context, module string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(b.Repository, "e2e", "cluster", module)
	cmd.Env = append(os.Environ(),
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOEXPERIMENT=", "GODEBUG=", "GOCOVERDIR=",
		"GOOS=linux", "GOARCH=", "CGO_ENABLED=0", "PWD="+cmd.Dir)
	return cmd
}

// output runs a command and returns its standard output; its error has what the
// command said.
func output(cmd *exec.Cmd) (string, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), said.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// locked calls f while no other process does so with the same file.
func locked(ctx context.Context, file string, waiting func(), f func() error) error {
	lock, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		waiting()
		taken := make(chan error, 1)
		go func() { taken <- flock(lock) }()
		select {
		case err = <-taken:
		case <-ctx.Done():
			return ctx.Err() // the goroutine ends with the process, which is ending
		}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", file, err)
	}
	return f()
}

func flock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}
