package child

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
	"syscall"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
)

// A Process was started to be measured. It belongs to one goroutine, except
// for PID and CPUDuring.
type Process struct {
	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	results *json.Decoder
	isJob   bool // ends with its stdin
	stopped bool
}

// Start starts a program that is told all by its arguments, and ends with
// SIGTERM, as in a pod.
func Start(name string, cmd *exec.Cmd, env ...string) (*Process, error) {
	p := &Process{name: name, cmd: cmd}
	cmd.Stderr = os.Stderr
	// What the caller has set for its own programs is not what a DaemonSet has.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return slices.Contains([]string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "NODE_NAME", "HOST_IP", "POD_IP", "POD_NAME"}, name)
	})
	cmd.Env = append(cmd.Env, env...)
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.results = json.NewDecoder(out)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// StartJob starts a program whose stdin gets the request as a line of JSON, and
// that ends when its stdin does; see [Main].
func StartJob(name string, cmd *exec.Cmd, request any, env ...string) (*Process, error) {
	p, err := Start(name, cmd, env...)
	if err != nil {
		return nil, err
	}
	p.isJob = true
	if err := p.Tell(request); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Tell writes one more line to stdin, for jobs that read it.
func (p *Process) Tell(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// Result waits for the next one.
func (p *Process) Result(v any) error {
	if err := p.results.Decode(v); err != nil {
		return errors.Join(fmt.Errorf("%s has no result: %w", p.name, err), p.Stop())
	}
	return nil
}

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// CPUDuring is how much CPU the process uses in a time, in millicores.
func (p *Process) CPUDuring(ctx context.Context, d time.Duration) (float64, error) {
	before, err := meter.CPUOf(p.PID())
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := Wait(ctx, d); err != nil {
		return 0, err
	}
	after, err := meter.CPUOf(p.PID())
	return (after - before).Seconds() / time.Since(began).Seconds() * 1000, err
}

// Stop ends it and waits. Jobs see the end of stdin, other programs SIGTERM.
// Once more, or on nil, it does nothing.
func (p *Process) Stop() error {
	if p == nil || p.stopped {
		return nil
	}
	p.stopped = true
	if !p.isJob {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("end %s: %w", p.name, err)
		}
	}
	_ = p.stdin.Close() // it may have ended already
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// BuildLike builds a command with make build's flags, so that both find what
// the other has compiled.
func BuildLike(ctx context.Context, path, command string) error {
	return build(exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "nomsgpack", "-ldflags", "-s -w", "-o", path, command))
}

// BuildModule builds the command of a module of its own, in dir.
func BuildModule(ctx context.Context, path, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Dir = dir
	return build(cmd)
}

func build(cmd *exec.Cmd) error {
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}

// Wait waits, or says that ctx ended.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
