package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
)

// lists are those of all pods and nodes.
type lists struct{ pods, nodes answered }

// firstLists asks a new aggregator for everything, as soon as it is ready, until it
// has everything.
func (b *bench) firstLists(ctx context.Context, m *metricsAPI) (l lists, err error) {
	a := m.aggregator
	if err := b.awaitPage(ctx, a, "/readyz"); err != nil {
		return l, err
	}
	ready := time.Since(a.began)
	of := m.deployments[0]
	if l.pods, err = b.whole(ctx, m, listOf(of), replicas); err != nil {
		return l, err
	}
	wall := time.Since(a.began)
	cpu, err := meter.CPUOf(a.PID())
	if err != nil {
		return l, err
	}
	counts, err := m.asked(false)
	if err != nil {
		return l, err
	}
	if len(counts.Unknown) > 0 {
		b.Notes = append(b.Notes, fmt.Sprintf("The stand-in API server was asked for what it does not have: %v.", counts.Unknown))
	}
	if len(b.Of("resource-start")) > 0 {
		if err := child.Wait(ctx, b.cfg.Settle); err != nil {
			return l, err
		}
		r, err := meter.ResidentOf(a.PID())
		if err != nil {
			return l, err
		}
		b.Set("resource-start/wall", wall.Seconds(), "of %d pods; asked for when /readyz says ready, %.1f s after the start; the API server listed %d pods meanwhile", l.pods.items, ready.Seconds(), counts.Pods)
		b.Set("resource-start/cpu", cpu.Seconds(), "of the process until then")
		b.Set("resource-start/memory", r.All, "%v after it; %v", b.cfg.Settle, r)
		if err := b.profile(ctx, a, "heap", "resource.heap"); err != nil {
			return l, err
		}
	}
	if l.pods, err = b.whole(ctx, m, allPodMetrics, b.cfg.Nodes*pods); err != nil {
		return l, err
	}
	l.nodes, err = m.client.get(ctx, allNodeMetrics, protobuf)
	return l, err
}

// whole asks for pods until there are so many, but for a few.
func (b *bench) whole(ctx context.Context, m *metricsAPI, path string, pods int) (r answered, err error) {
	for began := time.Now(); ; {
		if r, err = m.client.get(ctx, path, protobuf); err == nil && r.items*100 >= pods*wholePercent {
			return r, nil
		}
		if ctx.Err() != nil || time.Since(began) > startWithin {
			return r, errors.Join(fmt.Errorf("%s has %d pods of %d", path, r.items, pods), err, ctx.Err())
		}
		b.Progress("%s has %d pods of %d, %v", path, r.items, pods, err)
		if err := child.Wait(ctx, afterwards); err != nil {
			return r, err
		}
	}
}

// awaitPage waits until an aggregator says on a page of its probes that it is well.
func (b *bench) awaitPage(ctx context.Context, a *aggregator, page string) error {
	for {
		if err := child.Wait(ctx, afterwards); err != nil {
			return err
		}
		resp, err := a.get(ctx, a.api+page)
		if err == nil {
			var why []byte
			why, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s: %.300s", resp.Status, why)
		}
		if time.Since(a.began) > startWithin {
			return fmt.Errorf("%s after %v: %w", page, startWithin, err)
		}
	}
}

// resourceStart measures the start.
func (b *bench) resourceStart(ctx context.Context) error {
	_, err := b.theMetricsAPI(ctx)
	return err
}

// resourceMemory measures what knowing all pods takes: of an aggregator that knows
// nobody in the fleet, and has no connections, before it is told the pods and after.
func (b *bench) resourceMemory(ctx context.Context) (err error) {
	d, err := b.theDeployed(ctx)
	if err != nil {
		return err
	}
	if m := b.metricsAPI; m != nil { // or it would take some of the cores
		if err := errors.Join(m.aggregator.stop(), m.ideal.Stop()); err != nil {
			return err
		}
		b.metricsAPI = nil
	}
	if _, err := d.asked(true); err != nil {
		return err
	}
	a, err := b.startMetricsAPI(ctx, d, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	if err := b.awaitPage(ctx, a, "/healthz"); err != nil {
		return err
	}
	if err := child.Wait(ctx, b.cfg.Settle/2); err != nil {
		return err
	}
	before, err := meter.ResidentOf(a.PID())
	if err != nil {
		return err
	}
	cpu, err := meter.CPUOf(a.PID())
	if err != nil {
		return err
	}
	if _, err := d.asked(false); err != nil {
		return err
	}
	began := time.Now()
	stop := b.profileDuring(ctx, a, "resource memory")
	for known := 0.; int(known)*100 < b.cfg.Nodes*pods*wholePercent; {
		if err := child.Wait(ctx, afterwards); err != nil {
			return err
		}
		if known, err = a.metric(ctx, "rollcall_pods_running"); err != nil {
			return err
		}
		if time.Since(began) > startWithin {
			return fmt.Errorf("%.0f pods are known after %v", known, startWithin)
		}
	}
	wall := time.Since(began)
	spent, err := meter.CPUOf(a.PID())
	if err != nil {
		return err
	}
	if err := errors.Join(child.Wait(ctx, b.cfg.Settle/2), stop()); err != nil {
		return err
	}
	after, err := meter.ResidentOf(a.PID())
	if err != nil {
		return err
	}
	peak, err := meter.PeakOf(a.PID())
	if err != nil {
		return err
	}
	b.Set("resource-memory/pods", after.All-before.All, "resident %.1f MiB before (%v) and %.1f after (%v), %v after it knew them, at most %.1f MiB meanwhile",
		before.All, before, after.All, after, b.cfg.Settle/2, peak)
	b.Set("resource-memory/cpu", (spent - cpu).Seconds(), "in %.1f s, over TLS from the stand-in, on the same cores", wall.Seconds())
	return nil
}
