package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	allPods = "/api/v1/pod?latest=true"
	// checkout is a namespace of 500 pods, one each on 500 nodes.
	checkout = "/api/v1/pod/checkout"
)

// refreshAt is when in a slot the snapshot is asked for, every second time: of the
// slot after one that was asked for all nodes are asked ahead, and of the next after
// that when somebody wants to know.
func (b *bench) refreshAt() time.Duration { return b.cfg.Resolution * 3 / 4 }

// snapshot measures the first question of a slot, which refreshes the snapshot,
// with all pods rendered.
func (b *bench) snapshot(ctx context.Context) error {
	a, err := b.theAggregator(ctx)
	if err != nil {
		return err
	}
	scraper, err := b.theScraper(ctx)
	if err != nil {
		return err
	}
	first, last, received, err := b.refreshNow(ctx, a)
	if err != nil { // incomplete, or somebody was before us
		first, last, received, err = b.refresh(ctx, a)
	}
	if err != nil {
		return err
	}
	b.addLine("first snapshot and all pods as JSON", first, cost{}, received, float64(last.Bytes))
	if err := meter.ResetPeak(a.PID()); err != nil {
		return err
	}
	var costs []cost
	stop := b.profileDuring(ctx, a, "snapshot")
	for range b.cfg.Refreshes {
		var one cost
		if one, last, received, err = b.refresh(ctx, a); err != nil {
			return errors.Join(err, stop())
		}
		costs = append(costs, one)
	}
	if err := stop(); err != nil {
		return err
	}
	peak, err := meter.PeakOf(a.PID())
	if err != nil {
		return err
	}
	c := medianOf(costs)
	base, err := b.theLimit(ctx)
	if err != nil {
		return err
	}
	l, err := b.limitAlone(ctx, base, newest)
	if err != nil {
		return err
	}
	b.addLine("refresh of the snapshot and all pods as JSON", c, l, received, float64(last.Bytes))
	b.Set("snapshot/cpu", ratio(c.asker, scraper.asker), "%s of %s ms; %s MB of JSON", report.Number(millis(c.asker)), report.Number(millis(scraper.asker)), report.Number(float64(last.Bytes)/mega))
	b.Set("snapshot/peak", peak/scraper.peak, "%.0f of %.0f MiB, VmHWM of each", peak, scraper.peak)
	if err := child.Wait(ctx, b.cfg.Settle); err != nil {
		return err
	}
	r, err := meter.ResidentOf(a.PID())
	if err != nil {
		return err
	}
	b.Set("snapshot/memory", r.All, "%v after the last answer; %v", b.cfg.Settle, r)
	return b.profile(ctx, a, "heap", "snapshot.heap")
}

// attempts is how many slots are waited for that go well: on a busy machine an
// agent may time out, and an answer that lacks nodes is less work.
const attempts = 4

// refresh asks for all pods once the snapshot is of a slot before the newest.
func (b *bench) refresh(ctx context.Context, a *aggregator) (c cost, r reply, received float64, err error) {
	var failed error
	for range attempts {
		next := time.Unix(model.SlotOf(time.Now().Add(-b.refreshAt()), b.cfg.Resolution), 0).Add(2*b.cfg.Resolution + b.refreshAt())
		if err := child.Wait(ctx, time.Until(next)); err != nil {
			return c, r, 0, err
		}
		if c, r, received, failed = b.refreshNow(ctx, a); failed == nil {
			b.Progress("refresh: %s ms of CPU, %s ms, %s MB received", report.Number(millis(c.asker)), report.Number(millis(c.wall)), report.Number(received/mega))
			return c, r, received, nil
		}
		if ctx.Err() != nil {
			break
		}
		b.Progress("refresh: %v; once more", failed)
	}
	return c, r, 0, failed
}

func (b *bench) refreshNow(ctx context.Context, a *aggregator) (c cost, r reply, received float64, err error) {
	before, err := a.received(ctx)
	if err != nil {
		return c, r, 0, err
	}
	c, err = costOf(ctx, a.Process, b.fleet.Process, func() (time.Duration, error) {
		r, err = a.complete(ctx, allPods)
		return r.Wall, err
	})
	if err != nil {
		return c, r, 0, err
	}
	after, err := a.received(ctx)
	if err == nil && after == before {
		err = errors.New("no node was asked: the snapshot is not refreshed")
	}
	return c, r, after - before, err
}

// limitAlone asks the limit for what the aggregator asks in slots of its own.
func (b *bench) limitAlone(ctx context.Context, base *limitBaseline, kind int) (cost, error) {
	var costs []cost
	for i := range b.cfg.Rounds + 1 {
		one, err := base.ask(ctx, kind)
		if err != nil {
			return cost{}, err
		}
		if i > 0 {
			costs = append(costs, one)
		}
	}
	return medianOf(costs), nil
}

// namespace asks for a namespace that the snapshot has.
func (b *bench) namespace(ctx context.Context) error {
	a, err := b.theAggregator(ctx)
	if err != nil {
		return err
	}
	// It also gets the snapshot if there is none, or an old one.
	body, err := a.read(ctx, checkout+"?latest=true")
	if err != nil {
		return err
	}
	before, err := a.received(ctx)
	if err != nil {
		return err
	}
	var walls []time.Duration
	for range b.cfg.Requests {
		r, err := a.ask(ctx, checkout+"?latest=true") // old values are as slow to read
		if err != nil {
			return err
		}
		walls = append(walls, r.Wall)
	}
	after, err := a.received(ctx)
	if err != nil {
		return err
	}
	slices.Sort(walls)
	p99 := walls[int(math.Ceil(float64(len(walls))*0.99))-1]
	b.Set("namespace/p99", millis(p99), "%d pods, %d requests one after the other, median %s ms, slowest %s ms; agents answered %s KB meanwhile",
		bytes.Count(body, []byte(`"namespace":`)), len(walls), report.Number(millis(median(walls))), report.Number(millis(walls[len(walls)-1])), report.Number((after-before)/1000))
	return nil
}

// podAndContainer finds pods and their first containers in an answer.
var podAndContainer = regexp.MustCompile(`"name":"([^"]+)","containers":\[\{"name":"([^"]+)"`)

// container asks for a day of containers, one after the other.
func (b *bench) container(ctx context.Context) error {
	const containers = 21
	a, err := b.theAggregator(ctx)
	if err != nil {
		return err
	}
	list, err := a.read(ctx, checkout+"?latest=true")
	if err != nil {
		return err
	}
	found := podAndContainer.FindAllSubmatch(list, containers)
	if len(found) == 0 {
		return fmt.Errorf("no pod in %s: %.300s", checkout, list)
	}
	var walls []time.Duration
	most, points := 0, 0
	for _, f := range found {
		path := fmt.Sprintf("%s/%s/%s?window=24h", checkout, f[1], f[2])
		r, err := a.ask(ctx, path)
		if err != nil {
			return err
		}
		if r.Coverage.Answered != r.Coverage.Asked {
			return fmt.Errorf("%s: %d nodes were asked, %d answered", path, r.Coverage.Asked, r.Coverage.Answered)
		}
		most, points = max(most, r.Coverage.Asked), max(points, int(r.Bytes))
		walls = append(walls, r.Wall)
	}
	slices.Sort(walls)
	b.Set("container/wall", millis(median(walls)), "%d containers, slowest %s ms, answers of up to %d KB", len(walls), report.Number(millis(walls[len(walls)-1])), points/1000)
	b.Set("container/asked", float64(most), "coverage.asked, the most of all")
	return nil
}
