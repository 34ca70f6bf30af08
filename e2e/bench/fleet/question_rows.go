package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// startWithin is how long the aggregator may take until it has everyone.
const startWithin = 2 * time.Minute

// theAggregator starts the aggregator, and sets the rows of start on the way.
func (b *bench) theAggregator(ctx context.Context) (*aggregator, error) {
	if b.aggregator != nil {
		return b.aggregator, nil
	}
	f, err := b.theFleet(ctx)
	if err != nil {
		return nil, err
	}
	b.Progress("the aggregator starts")
	expected, err := b.expectFile(f)
	if err != nil {
		return nil, err
	}
	a, err := b.startAggregator(ctx, f, true, expected)
	if err != nil {
		return nil, err
	}
	b.ends = append(b.ends, a.stop)
	connected, err := b.awaitConnections(ctx, a)
	if err != nil {
		return nil, err
	}
	for {
		r, err := a.complete(ctx, "/api/v1/node?window=1m")
		if err == nil {
			break
		}
		if ctx.Err() != nil || time.Since(a.began) > startWithin {
			return nil, fmt.Errorf("no complete answer after %v: %w", time.Since(a.began), err)
		}
		b.Progress("start: %d of %d nodes answered", r.Coverage.Answered, r.Coverage.Expected)
	}
	wall := time.Since(a.began)
	cpu, err := meter.CPUOf(a.PID())
	if err != nil {
		return nil, err
	}
	b.aggregator = a
	if len(b.Of("start")) > 0 {
		b.Set("start/cpu", cpu.Seconds(), "of the process from its start: %d connections opened as the roster names nodes; the first question is asked when they are open", connected)
		b.Set("start/wall", wall.Seconds(), "")
	}
	return a, nil
}

// awaitConnections waits until there is a connection to each node, or until no
// more come: questions open those that are missing.
func (b *bench) awaitConnections(ctx context.Context, a *aggregator) (int, error) {
	const patience = 5 * time.Second
	most, changed := -1, time.Now()
	for {
		if err := child.Wait(ctx, afterwards); err != nil {
			return 0, err
		}
		n, err := a.metric(ctx, "rollcall_agents_connections")
		if err != nil && time.Since(a.began) > patience {
			return 0, err
		}
		if err == nil && int(n) > most {
			most, changed = int(n), time.Now()
		}
		if most >= b.cfg.Nodes || time.Since(changed) > patience {
			return most, nil
		}
	}
}

func (b *bench) start(ctx context.Context) error {
	_, err := b.theAggregator(ctx)
	return err
}

// idle measures an aggregator that nobody has asked for pods yet.
func (b *bench) idle(ctx context.Context) error {
	a, err := b.theAggregator(ctx)
	if err != nil {
		return err
	}
	if err := child.Wait(ctx, b.cfg.Settle); err != nil {
		return err
	}
	n, err := a.metric(ctx, "rollcall_agents_connections")
	if err != nil {
		return err
	}
	r, err := meter.ResidentOf(a.PID())
	if err != nil {
		return err
	}
	b.Set("idle/memory", r.All, "%.0f connections, %v after the first answer; %v", n, b.cfg.Settle, r)
	return b.profile(ctx, a, "heap", "idle.heap")
}

// warm asks all nodes for what they use.
func (b *bench) warm(ctx context.Context) error {
	c, l, note, err := b.compare(ctx, latestNodes, "latest node usage")
	if err != nil {
		return err
	}
	b.Set("warm/cpu", ratio(c.asker, l.asker), "%s", note)
	b.Set("warm/wall", ratio(c.wall, l.wall), "%s of %s ms", report.Number(millis(c.wall)), report.Number(millis(l.wall)))
	b.Set("warm/agent", millis(c.answerers)*1000/float64(b.cfg.Nodes), "CPU of the process of all agents, over the number of nodes")
	return nil
}

// history asks all nodes for a quarter of an hour.
func (b *bench) history(ctx context.Context) error {
	c, l, note, err := b.compare(ctx, history, "15 min of all nodes")
	if err != nil {
		return err
	}
	b.Set("history/cpu", ratio(c.asker, l.asker), "%s", note)
	return nil
}

// compare asks the aggregator and the limit in turn.
func (b *bench) compare(ctx context.Context, kind int, what string) (c, l cost, note string, err error) {
	a, err := b.theAggregator(ctx)
	if err != nil {
		return c, l, "", err
	}
	base, err := b.theLimit(ctx)
	if err != nil {
		return c, l, "", err
	}
	var costs, limits []cost
	var last reply
	before, err := a.received(ctx)
	if err != nil {
		return c, l, "", err
	}
	stop := b.profileDuring(ctx, a, what)
	for i := range b.cfg.Rounds + 1 {
		one, err := base.ask(ctx, kind)
		if err != nil {
			return c, l, "", errors.Join(err, stop())
		}
		mine, err := costOf(ctx, a.Process, b.fleet.Process, func() (time.Duration, error) {
			last, err = a.complete(ctx, base.paths[kind])
			return last.Wall, err
		})
		if err == nil && last.Coverage.Asked != b.cfg.Nodes {
			err = fmt.Errorf("%d of %d nodes were asked", last.Coverage.Asked, b.cfg.Nodes)
		}
		if err != nil {
			return c, l, "", errors.Join(err, stop())
		}
		if i > 0 {
			costs, limits = append(costs, mine), append(limits, one)
		}
	}
	if err := stop(); err != nil {
		return c, l, "", err
	}
	after, err := a.received(ctx)
	if err != nil {
		return c, l, "", err
	}
	received := (after - before) / float64(b.cfg.Rounds+1)
	if math.Abs(received-float64(base.bytes[kind])) > float64(base.bytes[kind])/100 {
		return c, l, "", fmt.Errorf("agents answered the aggregator %.0f bytes, the limit has recorded %d", received, base.bytes[kind])
	}
	c, l = medianOf(costs), medianOf(limits)
	b.addLine(what, c, l, received, float64(last.Bytes))
	return c, l, fmt.Sprintf("%s of %s ms; asked in turn", report.Number(millis(c.asker)), report.Number(millis(l.asker))), nil
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
