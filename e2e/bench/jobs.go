package main

import (
	"context"
	"os"
	"os/exec"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
)

// ownCommand is the first argument of this program as a child.
const ownCommand = "measure-in-child"

// ownJobs are the jobs that this program does itself; those that are to weigh
// what an agent weighs are agentchild's.
func ownJobs() map[string]child.Job {
	return map[string]child.Job{"store": storeJob, "read": readJob, "decode": decodeJob, "open": openJob}
}

// startJob starts a child to do a job.
func (b *bench) startJob(ctx context.Context, name string, request any, env ...string) (*child.Process, error) {
	path, args := b.path("agentchild"), []string{name}
	var err error
	if ownJobs()[name] != nil {
		args = []string{ownCommand, name}
		path, err = os.Executable()
	} else if _, missing := os.Stat(path); missing != nil { // built once
		err = child.BuildLike(ctx, path, "github.com/rollcall-metrics/rollcall/e2e/bench/agentchild")
	}
	if err != nil {
		return nil, err
	}
	return child.StartJob(name, exec.CommandContext(ctx, path, args...), request, env...)
}

// runJob does a job that needs nothing but its request.
func (b *bench) runJob(ctx context.Context, name string, request, result any, env ...string) error {
	c, err := b.startJob(ctx, name, request, env...)
	if err != nil {
		return err
	}
	if err := c.Result(result); err != nil {
		return err
	}
	return c.Stop()
}
