package main

import (
	"context"
	"errors"
	"net"
	"os/exec"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
)

// roster measures what a real member of gossip keeps about the others.
func (b *bench) roster(ctx context.Context) error {
	f, err := b.theFleet(ctx)
	if err != nil {
		return err
	}
	// Nothing but the roster, in a process that weighs what an agent weighs.
	path := b.path("agentchild")
	if err := child.BuildLike(ctx, path, "github.com/rollcall-metrics/rollcall/e2e/bench/agentchild"); err != nil {
		return err
	}
	alone, err := b.member(ctx, path, job.AgentRequest{Members: 1})
	if err != nil {
		return err
	}
	among, err := b.member(ctx, path, job.AgentRequest{Members: len(f.Nodes) + 1, Join: []string{f.Seed}, Label: f.Label, Key: f.KeyFile})
	if err != nil {
		return err
	}
	b.Set("roster/memory", among.All-alone.All, "a process that is only a member: %.1f MiB among %d others, %.1f alone, each %v after it knows all", among.All, len(f.Nodes), alone.All, b.cfg.Settle)
	return nil
}

func (b *bench) member(ctx context.Context, path string, q job.AgentRequest) (r meter.Resident, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	q.Ports.Peer = virtual.PeerPort // nothing listens there; an agent has to name one
	q.Ports.Gossip = uint16(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		return r, err
	}
	p, err := child.StartJob("roster", exec.CommandContext(ctx, path, "roster"), q)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	if err := p.Result(&job.AgentDay{}); err != nil {
		return r, err
	}
	if err := child.Wait(ctx, b.cfg.Settle); err != nil {
		return r, err
	}
	return meter.ResidentOf(p.PID())
}
