package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
)

// A child is a process that was started to be measured.
type child struct {
	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	results *json.Decoder
	isJob   bool // ends with its stdin
	stopped bool
}

// ownCommand is the first argument of this program as a child.
const ownCommand = "measure-in-child"

// ownJobs are the jobs that this program does itself; those that are to weigh
// what an agent weighs are agentchild's.
func ownJobs() map[string]job.Func {
	return map[string]job.Func{"store": storeJob, "read": readJob, "decode": decodeJob, "open": openJob}
}

// startJob starts a child to do a job.
func (b *bench) startJob(ctx context.Context, name string, request any, env ...string) (*child, error) {
	line, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	var cmd *exec.Cmd
	if ownJobs()[name] != nil {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd = exec.CommandContext(ctx, self, ownCommand, name)
	} else {
		path, err := b.agentChild(ctx)
		if err != nil {
			return nil, err
		}
		cmd = exec.CommandContext(ctx, path, name)
	}
	c, err := startChild(name, cmd, env)
	if err != nil {
		return nil, err
	}
	c.isJob = true
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), c.stop())
	}
	return c, nil
}

// agentChild builds e2e/bench/agentchild, once, as make build builds the agent.
func (b *bench) agentChild(ctx context.Context) (path string, err error) {
	path = b.path("agentchild")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, buildLike(ctx, path, "github.com/rollcall-metrics/rollcall/e2e/bench/agentchild")
}

// buildLike builds a command with make build's flags, so that both find what
// the other has compiled.
func buildLike(ctx context.Context, path, command string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "nomsgpack", "-ldflags", "-s -w", "-o", path, command)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	return nil
}

func startChild(name string, cmd *exec.Cmd, env []string) (*child, error) {
	c := &child{name: name, cmd: cmd}
	cmd.Stderr = os.Stderr
	// What the caller has set for its own programs is not what a DaemonSet has.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return slices.Contains([]string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "NODE_NAME", "HOST_IP", "POD_IP"}, name)
	})
	cmd.Env = append(cmd.Env, env...)
	var err error
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.results = json.NewDecoder(out)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

// result waits for the next one.
func (c *child) result(v any) error {
	if err := c.results.Decode(v); err != nil {
		return errors.Join(fmt.Errorf("%s has no result: %w", c.name, err), c.stop())
	}
	return nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// cpuDuring is how much CPU the process uses in a time, in millicores.
func (c *child) cpuDuring(ctx context.Context, d time.Duration) (float64, error) {
	before, err := meter.CPUOf(c.pid())
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := wait(ctx, d); err != nil {
		return 0, err
	}
	after, err := meter.CPUOf(c.pid())
	return (after - before).Seconds() / time.Since(began).Seconds() * 1000, err
}

// stop ends it and waits. Jobs see the end of stdin, other programs SIGINT.
func (c *child) stop() error {
	if c.stopped {
		return nil
	}
	c.stopped = true
	if !c.isJob {
		if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
			return fmt.Errorf("end %s: %w", c.name, err)
		}
	}
	_ = c.stdin.Close() // it may have ended already
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// runJob does a job that needs nothing but its request.
func (b *bench) runJob(ctx context.Context, name string, request, result any, env ...string) error {
	c, err := b.startJob(ctx, name, request, env...)
	if err != nil {
		return err
	}
	if err := c.result(result); err != nil {
		return err
	}
	return c.stop()
}

// wait waits, or says that ctx ended.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
