package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
	"github.com/rollcall-metrics/rollcall/e2e/crowd"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// idleResolution is the longest there is: for so long nothing happens.
const idleResolution = model.BlockSeconds * time.Second

// agentHistory is the directory of an agent that sampled a day, at speed, up
// to now, and was stopped. It is made once, and sets the rows of speed and
// resident/child on the way.
func (b *bench) agentHistory(ctx context.Context) (dir string, err error) {
	if b.agentDir != "" {
		return b.agentDir, nil
	}
	begin := byClock() - (b.cfg.Slots-1)*job.SlotSeconds
	k, err := b.site.kubelet(begin, atSpeed(begin))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	o, err := b.site.others(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	q, err := b.site.request("speed", b.path("agent"), k)
	if err != nil {
		return "", err
	}
	q.Begin, q.Slots, q.Days, q.Join, q.Profile = begin, b.cfg.Slots, 1, o.seeds, b.profile("speed")
	c, err := b.startJob(ctx, "agent", q)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	var day, running job.AgentDay
	if err := c.Result(&day); err != nil {
		return "", err
	}
	if err := c.Result(&running); err != nil {
		return "", err
	}
	if err := errors.Join(o.await(ctx, q.Ports), child.Wait(ctx, b.cfg.Settle)); err != nil {
		return "", err
	}
	r, err := meter.ResidentOf(c.PID())
	if err != nil {
		return "", err
	}
	if b.wants("speed") {
		b.Set("speed/agent", day.CPU/job.Resolution.Seconds(), "%s ms of CPU a sample: TLS fetch from another process, decoding, ring with fsync; one in 15 s", report.Number(day.CPU))
	}
	if b.wants("resident") {
		b.Set("resident/child", r.All, "agent/app in a process that sampled all of it at speed (%.1f MiB then), then ran for %v: %v", day.Resident.All, b.cfg.Settle, r)
	}
	b.agentDir = q.Dir
	return q.Dir, c.Stop()
}

// wants tells whether there are rows of a measurement in the report.
func (b *bench) wants(name string) bool { return len(b.Of(name)) > 0 }

func (b *bench) speed(ctx context.Context) error {
	_, err := b.agentHistory(ctx)
	return err
}

// rosterAlone is what a member of gossip costs that knows no other, in
// millicores.
func (b *bench) rosterAlone(ctx context.Context, d time.Duration) (cpu float64, err error) {
	q, err := b.site.request("roster", "", &standIn{})
	if err != nil {
		return 0, err
	}
	c, err := b.startJob(ctx, "roster", q)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if err := errors.Join(c.Result(&job.AgentDay{}), child.Wait(ctx, b.calm())); err != nil {
		return 0, err
	}
	return c.CPUDuring(ctx, d)
}

// calm is how long processes are left alone before they are watched: what is
// left of their start is over.
func (b *bench) calm() time.Duration { return min(b.cfg.Settle, 5*time.Second) }

// pace watches the real binary while it samples.
func (b *bench) pace(ctx context.Context) (err error) {
	if b.cfg.Pace == 0 {
		b.Skip("pace", "skipped: --pace 0")
		return nil
	}
	a, err := b.startAgent(ctx, "pace", job.Resolution, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.end()) }()
	alone := make(chan error, 1)
	go func() {
		var err error
		if b.rosterCPU == 0 {
			b.rosterCPU, err = b.rosterAlone(ctx, b.cfg.Pace)
		}
		alone <- err
	}()
	if err := child.Wait(ctx, b.calm()); err != nil {
		return errors.Join(err, <-alone)
	}
	requests := a.kubelet.Requests.Load()
	all, err := a.CPUDuring(ctx, b.cfg.Pace)
	sampled := a.kubelet.Requests.Load() - requests
	if err := errors.Join(err, <-alone); err != nil {
		return err
	}
	if want := int64(b.cfg.Pace/job.Resolution) - 1; sampled < want {
		return fmt.Errorf("only %d samples in %v", sampled, b.cfg.Pace)
	}
	r, err := meter.ResidentOf(a.PID())
	if err != nil {
		return err
	}
	b.Set("pace/agent", all-b.rosterCPU, "%s for %v with %d samples, less %s millicores of a roster alone; resident then %.1f MiB: %v", b.cfg.Binary, b.cfg.Pace, sampled, report.Number(b.rosterCPU), r.All, r)
	return nil
}

// resident measures the real binary, restarted with a day's history.
func (b *bench) resident(ctx context.Context) (err error) {
	if _, err := b.agentHistory(ctx); err != nil {
		return err
	}
	o, err := b.site.others(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	a, err := b.startAgent(ctx, "resident", job.Resolution, o.seeds)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.end()) }()
	if err := errors.Join(o.await(ctx, a.ports), child.Wait(ctx, b.cfg.Settle)); err != nil {
		return err
	}
	r, err := meter.ResidentOf(a.PID())
	if err != nil {
		return err
	}
	b.Set("resident/agent", r.All, "%s: %v", b.cfg.Binary, r)
	return nil
}

// idle watches agents that have nothing to do: the real binary, what it would
// be without gossip, and gossip alone, all at the same time.
func (b *bench) idle(ctx context.Context) (err error) {
	a, err := b.startAgent(ctx, "idle", idleResolution, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.end()) }()
	dir, err := b.copyDir(b.agentDir, "frozen")
	if err != nil {
		return err
	}
	k, err := b.site.kubelet(byClock(), byClock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	q, err := b.site.request("frozen", dir, k)
	if err != nil {
		return err
	}
	q.Resolution, q.Frozen = idleResolution, true
	frozen, err := b.startJob(ctx, "agent", q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, frozen.Stop()) }()
	if err := frozen.Result(&job.AgentDay{}); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		if err := child.Wait(ctx, b.calm()); err != nil {
			return err
		}
		requests := a.kubelet.Requests.Load() + k.Requests.Load()
		var all, without, alone float64
		var g errgroup.Group
		g.Go(func() (err error) { all, err = a.CPUDuring(ctx, b.cfg.Idle); return })
		g.Go(func() (err error) { without, err = frozen.CPUDuring(ctx, b.cfg.Idle); return })
		g.Go(func() (err error) { alone, err = b.rosterAlone(ctx, b.cfg.Idle); return })
		if err := g.Wait(); err != nil {
			return err
		}
		if a.kubelet.Requests.Load()+k.Requests.Load() != requests && attempt < 2 {
			b.Progress("idle: a slot came meanwhile; once more")
			continue
		}
		b.rosterCPU = alone
		b.Set("idle/agent", all-alone, "%s with 24 h of history and slots of %v uses %s, of which the roster, measured in a process of its own, is taken off; for %v each, the runtime's collection every 2 min included", b.cfg.Binary, idleResolution, report.Number(all), b.cfg.Idle)
		b.Set("idle/frozen", without, "the same agent/app in a process whose gossip and probes come once a day: no subtraction, no noise of the roster")
		b.Set("idle/roster", alone, "")
		return nil
	}
}

// crowd measures the real binary among very many members.
func (b *bench) crowd(ctx context.Context) (err error) {
	if _, err := b.agentHistory(ctx); err != nil {
		return err
	}
	key, err := b.site.gossipKey()
	if err != nil {
		return err
	}
	c, err := crowd.Start(ctx, crowd.Config{Members: b.cfg.Crowd - 1, Aggregators: 1, Label: label, Key: key, Log: b.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	a, err := b.startAgent(ctx, "crowd", job.Resolution, []string{c.Seed()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.end()) }()
	for began := time.Now(); ; {
		n, err := members(ctx, a)
		if err == nil && n >= b.cfg.Crowd {
			break
		}
		if time.Since(began) > 2*time.Minute {
			return fmt.Errorf("the agent knows %d of %d members after 2 min: %w", n, b.cfg.Crowd, err)
		}
		if err := child.Wait(ctx, time.Second); err != nil {
			return err
		}
	}
	if err := child.Wait(ctx, b.cfg.Settle); err != nil {
		return err
	}
	cpu, err := a.CPUDuring(ctx, max(b.cfg.Settle, job.Resolution))
	if err != nil {
		return err
	}
	r, err := meter.ResidentOf(a.PID())
	if err != nil {
		return err
	}
	b.Set("crowd/agent", r.All, "%s, e2e/crowd simulates the other %d members, which gossip; %v; it then uses %s millicores, gossip and sampling together", b.cfg.Binary, b.cfg.Crowd-1, r, report.Number(cpu))
	return nil
}
