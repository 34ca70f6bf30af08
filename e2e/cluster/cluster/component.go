package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopWithin is how long a component may take to end by itself.
const stopWithin = 10 * time.Second

// A component is a process of the cluster that can be started again.
type component struct {
	name string
	// log is where its output goes, of all of its lives.
	log  string
	args []string
	// launch starts the command where it belongs: [exec.Cmd.Start], or on a host.
	launch func(*exec.Cmd) error

	mu     sync.Mutex
	cmd    *exec.Cmd // nil if it is not to run
	exited chan struct{}
}

// start starts it, unless it runs.
func (c *component) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(c.log), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	if err := c.launch(cmd); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // ProcessState says it
		close(exited)
	}()
	c.cmd, c.exited = cmd, exited
	return nil
}

// stop ends it with a signal and waits; one that does not end is killed.
func (c *component) stop(signal os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Signal(signal) // it may have ended
	select {
	case <-c.exited:
	case <-time.After(stopWithin):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
	c.cmd = nil
}

// kill ends it as a crash would.
func (c *component) kill() { c.stop(syscall.SIGKILL) }

// alive says how it ended, and its last words, if it did by itself.
func (c *component) alive() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return nil
	}
	select {
	case <-c.exited:
		return fmt.Errorf("%s has ended: %v; the end of %s:\n%s", c.name, c.cmd.ProcessState, c.log, tail(c.log, 10))
	default:
		return nil
	}
}

// tail is the last lines of a file, as far as it can be read.
func tail(file string, lines int) []byte {
	text, err := os.ReadFile(file)
	if err != nil {
		return []byte(err.Error())
	}
	text = bytes.TrimRight(text, "\n")
	start := len(text)
	for ; lines > 0 && start > 0; lines-- {
		start = max(bytes.LastIndexByte(text[:start], '\n'), 0)
	}
	return bytes.TrimLeft(text[start:], "\n")
}

// pollEvery is short against what is waited for, which takes seconds.
const pollEvery = 100 * time.Millisecond

// await tries until it works, one of the components has died, or ctx ends.
func await(ctx context.Context, what string, of []*component, try func(context.Context) error) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		for _, c := range of {
			if dead := c.alive(); dead != nil {
				return fmt.Errorf("wait for %s: %w", what, dead)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, context.Cause(ctx), err)
		case <-t.C:
		}
	}
}

// run runs a command and returns what it printed; its error has what it said.
func run(ctx context.Context, stdin []byte, launch func(*exec.Cmd) error, name string, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, name, args...), stdin, launch)
}

// output is run for a command that is put together already.
func output(cmd *exec.Cmd, stdin []byte, launch func(*exec.Cmd) error) (string, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	err := launch(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return out.String(), nil
}
