package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A batch is what the same question cost, asked one time after the other.
type batch struct {
	cpu   []time.Duration // of a question, by round
	walls []time.Duration
	bytes int64 // of all answers of the last round
	items int   // likewise
	asked int
}

// add is a round.
func (t *batch) add(o batch) {
	t.cpu, t.walls = append(t.cpu, o.cpu...), append(t.walls, o.walls...)
	t.bytes, t.items, t.asked = o.bytes, o.items, o.asked
}

// quantile is the time within which so many of 1 were answered.
func (t *batch) quantile(q float64) float64 { return millis(quantile(t.walls, q)) }

func quantile(of []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[max(int(math.Ceil(float64(len(sorted))*q))-1, 0)]
}

// ask asks a process for all paths.
func ask(ctx context.Context, p *child.Process, c *resourceClient, paths []string, mediaType string) (t batch, err error) {
	before, err := meter.CPUOf(p.PID())
	if err != nil {
		return t, err
	}
	for _, path := range paths {
		r, err := c.get(ctx, path, mediaType)
		if err != nil {
			return t, err
		}
		t.walls = append(t.walls, r.wall)
		t.bytes += int64(len(r.body))
		t.items += r.items
	}
	after, err := meter.CPUOf(p.PID())
	t.asked = len(paths)
	t.cpu = []time.Duration{(after - before) / time.Duration(len(paths))}
	return t, err
}

// fresh waits until there is so much time left before the nodes are asked for another
// slot, and has them asked if the snapshot is of one before. What comes within that
// time is answered from it.
func (b *bench) fresh(ctx context.Context, m *metricsAPI, needs time.Duration) error {
	shown := time.Now()
	next := model.Sampled(shown, b.cfg.Resolution) + int64(b.cfg.Resolution/time.Second)
	if due := model.Due(next, b.cfg.Resolution); time.Until(due) < needs {
		if err := child.Wait(ctx, time.Until(due)-afterwards); err != nil {
			return err
		}
		shown = model.ShownFrom(next, b.cfg.Resolution)
	}
	before, err := m.flights(ctx)
	if err != nil {
		return err
	}
	c, err := costOf(ctx, m.aggregator.Process, m.agents.Process, func() (time.Duration, error) {
		if err := child.Wait(ctx, time.Until(shown)); err != nil {
			return 0, err
		}
		r, err := m.client.get(ctx, listOf(m.deployments[0]), protobuf)
		return r.wall, err
	})
	if err != nil {
		return err
	}
	after, err := m.flights(ctx)
	if after == before+1 {
		m.refreshes = append(m.refreshes, c.asker)
	}
	return err
}

// flights is how often the snapshot was refreshed so far.
func (m *metricsAPI) flights(ctx context.Context) (float64, error) {
	return m.aggregator.metric(ctx, "rollcall_snapshot_flights_total")
}

// fromSnapshot asks the aggregator for all paths, from a snapshot that is not
// refreshed meanwhile.
func (b *bench) fromSnapshot(ctx context.Context, m *metricsAPI, paths []string, mediaType string) (t batch, err error) {
	for range attempts {
		if err := b.fresh(ctx, m, m.needs); err != nil {
			return t, err
		}
		before, err := m.flights(ctx)
		if err != nil {
			return t, err
		}
		began := time.Now()
		if t, err = ask(ctx, m.aggregator.Process, m.client, paths, mediaType); err != nil {
			return t, err
		}
		m.needs = min(time.Since(began)*5/4, b.cfg.Resolution*9/10)
		after, err := m.flights(ctx)
		if err != nil || after == before {
			return t, err
		}
		b.Progress("the snapshot was refreshed meanwhile; once more")
	}
	return t, errors.New("the snapshot is refreshed again and again")
}
