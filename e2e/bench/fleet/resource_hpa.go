package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// autoscaledEvery is how often the pods of each HorizontalPodAutoscaler are listed:
// kube-controller-manager's --horizontal-pod-autoscaler-sync-period.
const autoscaledEvery = 15 * time.Second

// An hpaMinute is what came of asking at that pace.
type hpaMinute struct {
	mu    sync.Mutex
	walls []time.Duration
	ages  []time.Duration // of all pods
	pods  int
	errs  []error
}

// resourceHPA has one autoscaler for each deployment, at real pace.
func (b *bench) resourceHPA(ctx context.Context) error {
	m, err := b.theMetricsAPI(ctx)
	if err != nil {
		return err
	}
	for range attempts {
		if len(m.refreshes) > 1 {
			break
		}
		if err := b.fresh(ctx, m, b.cfg.Resolution); err != nil { // in a new slot
			return err
		}
	}
	idle, err := m.aggregator.CPUDuring(ctx, min(b.cfg.Pace, b.cfg.Resolution))
	if err != nil {
		return err
	}
	reviews, err := m.asked(false)
	if err != nil {
		return err
	}
	flights, err := m.flights(ctx)
	if err != nil {
		return err
	}
	cpu, err := meter.CPUOf(m.aggregator.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	stop := b.profileDuring(ctx, m.aggregator, "resource hpa")
	t, err := m.autoscale(ctx, b.cfg.Pace)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := meter.CPUOf(m.aggregator.PID())
	if err != nil {
		return err
	}
	flown, err := m.flights(ctx)
	if err != nil {
		return err
	}
	reviewed, err := m.asked(false)
	if err != nil {
		return err
	}
	cores := func(cpu time.Duration) float64 { return cpu.Seconds() / took.Seconds() }
	refresh := median(append(m.refreshes, 0)[:max(len(m.refreshes), 1)])
	b.Set("resource-hpa/cores", cores(after-cpu), "%d deployments of %d pods each, in namespaces of their own and of ten; %d lists in %.1f s, %d pods in each on average, protobuf; the snapshot was refreshed %.0f times; nodes' heartbeats and replaced pods are watched",
		len(m.deployments), replicas, len(t.walls), took.Seconds(), t.pods/len(t.walls), flown-flights)
	b.Set("resource-hpa/refresh", cores(time.Duration(float64(refresh)*(flown-flights))), "%s ms each: what asking all nodes and a list of one deployment cost, median of %d", report.Number(millis(refresh)), len(m.refreshes))
	b.Set("resource-hpa/idle", idle/1000, "over %v before", min(b.cfg.Pace, b.cfg.Resolution))
	b.Set("resource-hpa/p99", millis(quantile(t.walls, 0.99)), "median %s ms, slowest %s ms; nodes are asked before their slot is shown", report.Number(millis(quantile(t.walls, 0.5))), report.Number(millis(quantile(t.walls, 1))))
	slices.Sort(t.ages)
	b.Set("resource-hpa/age", quantile(t.ages, 0.5).Seconds(), "now less timestamp, of all pods in all answers; slots of %v", b.cfg.Resolution)
	b.Set("resource-hpa/age99", quantile(t.ages, 0.99).Seconds(), "")
	b.Set("resource-hpa/reviews", float64(reviewed.AccessReviews-reviews.AccessReviews)/took.Minutes(), "in %d namespaces; %d TokenReviews", len(m.namespaces()), reviewed.TokenReviews-reviews.TokenReviews)
	return nil
}

// namespaces are those of all deployments.
func (d *deployed) namespaces() map[string]bool {
	all := map[string]bool{}
	for _, d := range d.deployments {
		all[d.Namespace] = true
	}
	return all
}

// autoscale asks for all deployments, one after the other at the same distance, so
// that each is asked for once in autoscaledEvery, and does not wait for answers.
func (m *metricsAPI) autoscale(ctx context.Context, pace time.Duration) (*hpaMinute, error) {
	t := &hpaMinute{}
	var asking sync.WaitGroup
	defer asking.Wait()
	distance := autoscaledEvery / time.Duration(len(m.deployments))
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range int(pace / distance) {
		timer.Reset(time.Until(began.Add(time.Duration(i) * distance)))
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timer.C:
		}
		asking.Go(func() { t.list(ctx, m, i%len(m.deployments)) })
	}
	if err := child.Wait(ctx, time.Until(began.Add(pace))); err != nil {
		return nil, err
	}
	asking.Wait()
	if len(t.walls) == 0 || len(t.errs) > 0 {
		return nil, errors.Join(append(t.errs, errors.New("not all lists were answered"))...)
	}
	return t, nil
}

// list is one of an autoscaler's.
func (t *hpaMinute) list(ctx context.Context, m *metricsAPI, i int) {
	pods, r, err := m.client.pods(ctx, listOf(m.deployments[i]))
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.errs = append(t.errs, err)
		return
	}
	t.walls = append(t.walls, r.wall)
	t.pods += r.items
	for j := range pods.Items {
		t.ages = append(t.ages, now.Sub(pods.Items[j].Timestamp.Time))
	}
}
