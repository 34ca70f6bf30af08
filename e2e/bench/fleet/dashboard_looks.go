package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
	"github.com/rollcall-metrics/rollcall/e2e/dashboard"
)

// lookedAt looks at a namespace for some slots.
func (b *bench) lookedAt(ctx context.Context, o *board) error {
	before, err := meter.ResidentOf(o.PID())
	if err != nil {
		return err
	}
	spent, err := meter.CPUOf(o.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	var walls []time.Duration
	var last look
	stop := b.profileDuring(ctx, o.aggregator, "dashboard")
	for tick := time.NewTicker(lookEvery); time.Since(began) < lookedAt*b.cfg.Resolution; {
		for _, m := range []dashboard.Metric{dashboard.CPU, dashboard.Memory} {
			if last, err = o.about(ctx, searchNamespace, m); err != nil {
				tick.Stop()
				return errors.Join(err, stop())
			}
			walls = append(walls, last.wall)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return errors.Join(ctx.Err(), stop())
		}
	}
	lasted := time.Since(began)
	all, err := meter.CPUOf(o.PID())
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	after, err := meter.ResidentOf(o.PID())
	if err != nil {
		return err
	}
	kept, err := o.metric(ctx, "rollcall_dashboard_kept_bytes")
	if err != nil {
		return err
	}
	slices.Sort(walls)
	p99 := walls[int(math.Ceil(float64(len(walls))*0.99))-1]
	b.Set("dashboard/p99", millis(p99), "%d questions in %v, CPU and memory in turn; slowest %s ms; meanwhile the process used %.3f cores, of which most is for the snapshot of all nodes",
		len(walls), lasted.Round(time.Second), report.Number(millis(walls[len(walls)-1])), (all-spent).Seconds()/lasted.Seconds())
	b.Set("dashboard/p50", millis(median(walls)), "")
	b.Set("dashboard/bytes", float64(last.sent)/1000, "with gzip; %s KB without; %d pods, %d points", report.Number(float64(len(last.body))/1000), last.items(), last.points())
	b.Set("dashboard/memory", after.All-before.All, "resident %.1f MiB before, after the first questions, and %.1f after; %s MB of history are kept of both namespaces",
		before.All, after.All, report.Number(kept/mega))
	for key, encoding := range map[string]string{"dashboard/cpu": "gzip", "dashboard/plain-cpu": "identity"} {
		path := dashboard.PodsPath(searchNamespace, o.pods[searchNamespace], dashboard.Memory)
		c, err := costOf(ctx, o.Process, b.fleet.Process, func() (time.Duration, error) {
			for range b.cfg.Rounds {
				if _, err := o.read(ctx, path, encoding); err != nil {
					return 0, err
				}
			}
			return 0, nil
		})
		if err != nil {
			return err
		}
		b.Set(key, millis(c.asker)/float64(b.cfg.Rounds), "mean of %d questions one after the other, of the whole process", b.cfg.Rounds)
	}
	return nil
}

// nodePages asks for a page of nodes, all at once.
func (b *bench) nodePages(ctx context.Context, o *board) error {
	nodes := b.fleet.Nodes[:min(pageNodes, len(b.fleet.Nodes))]
	page := func() (wall time.Duration, told int, err error) {
		var looks [2 * pageNodes]look
		began := time.Now()
		g, ctx := errgroup.WithContext(ctx)
		for i, n := range nodes {
			for j, m := range []dashboard.Metric{dashboard.CPU, dashboard.Memory} {
				g.Go(func() (err error) {
					looks[2*i+j], err = o.read(ctx, dashboard.NodePath(n.Name, m), "gzip")
					return err
				})
			}
		}
		err = g.Wait()
		wall = time.Since(began)
		for i := range looks {
			err = errors.Join(err, looks[i].unpack())
			told += looks[i].items()
		}
		return wall, told, err
	}
	first, told, err := page()
	if err != nil {
		return err
	}
	b.Set("dashboard/page", millis(first), "%d questions over as many connections, which had to be opened; %d were told something", 2*len(nodes), told)
	var walls []time.Duration
	least := told
	for range b.cfg.Rounds {
		wall, told, err := page()
		if err != nil {
			return err
		}
		walls, least = append(walls, wall), min(least, told)
	}
	b.Set("dashboard/page-again", millis(median(walls)), "of %d times, the slowest %s ms; at least %d were told something", len(walls), report.Number(millis(slices.Max(walls))), least)
	return nil
}

// longPaths asks with names most of which are nobody's.
func (b *bench) longPaths(ctx context.Context, o *board) error {
	names := make([]string, manyNames)
	for i := range names {
		names[i] = fmt.Sprintf("somebody-else-7c6b8d9f54-%010d", i)
	}
	known := o.pods[searchNamespace]
	for i, name := range known {
		names[i*len(names)/len(known)] = name
	}
	path := dashboard.PodsPath(searchNamespace, names, dashboard.CPU)
	var walls []time.Duration
	told := 0
	for range b.cfg.Rounds {
		l, err := o.ask(ctx, path)
		if err != nil {
			return err
		}
		walls, told = append(walls, l.wall), l.items()
	}
	b.Set("dashboard/names", millis(median(walls)), "a path of %s MB, of %d pods that run %d were told; slowest %s ms", report.Number(float64(len(path))/mega), len(known), told, report.Number(millis(slices.Max(walls))))
	return nil
}

// wide asks for pods of all nodes, once, and until all are told.
func (b *bench) wide(ctx context.Context, o *board) error {
	began := time.Now()
	first, err := o.about(ctx, everyNode, dashboard.CPU)
	if err != nil {
		return err
	}
	asked, err := o.untilAll(ctx, everyNode, first)
	if err != nil {
		return err
	}
	b.Set("dashboard/wide", millis(first.wall), "%d of %d pods were told; all of them after %.1f s, when %d more questions had been asked",
		first.items(), len(o.pods[everyNode]), time.Since(began).Seconds(), asked)
	return nil
}

// byAPI asks for the same by /api/v1.
func (b *bench) byAPI(ctx context.Context, o *board) error {
	var costs []cost
	var last look
	for range b.cfg.Rounds {
		c, err := costOf(ctx, o.Process, b.fleet.Process, func() (time.Duration, error) {
			var err error
			last, err = o.read(ctx, "/api/v1/pod/"+searchNamespace+"?window=15m&metrics=cpu", "gzip")
			return last.wall, err
		})
		if err != nil {
			return err
		}
		costs = append(costs, c)
	}
	c := medianOf(costs)
	b.Set("dashboard/api", millis(c.wall), "CPU of containers, 15 min, agents asked each time; %s KB with gzip", report.Number(float64(last.sent)/1000))
	b.Set("dashboard/api-cpu", millis(c.asker), "")
	return nil
}
