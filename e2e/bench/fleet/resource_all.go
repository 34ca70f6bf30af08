package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// resourceAll asks for everything, and for one pod.
func (b *bench) resourceAll(ctx context.Context) error {
	m, err := b.theMetricsAPI(ctx)
	if err != nil {
		return err
	}
	rounds := min(b.cfg.Rounds, mostListRounds)
	for _, q := range []struct{ key, name, mediaType string }{{"protobuf", "protobuf", protobuf}, {"json", "JSON", asJSON}} {
		var mine, best batch
		if err := meter.ResetPeak(m.aggregator.PID()); err != nil {
			return err
		}
		for range rounds {
			a, err := b.fromSnapshot(ctx, m, []string{allPodMetrics}, q.mediaType)
			if err != nil {
				return err
			}
			o, err := ask(ctx, m.ideal, m.idealist, []string{allPodMetrics}, q.mediaType)
			if err != nil {
				return err
			}
			mine.add(a)
			best.add(o)
		}
		peak, err := meter.PeakOf(m.aggregator.PID())
		if err != nil {
			return err
		}
		b.Set("resource-all/"+q.key, median(mine.cpu).Seconds(), "%d pods, %s MB; %.2f times the ideal's; of %d lists the slowest took %s ms; at most %.0f MiB resident meanwhile",
			mine.items, report.Number(float64(mine.bytes)/mega), ratio(median(mine.cpu), median(best.cpu)), rounds, report.Number(mine.quantile(1)), peak)
		if q.mediaType == asJSON {
			b.Set("resource-all/peak", peak, "VmHWM, one at a time")
		}
		b.addResource("all pods, "+q.name, mine, best)
		mine, best = batch{}, batch{}
		for range rounds {
			a, err := b.fromSnapshot(ctx, m, slices.Repeat([]string{allNodeMetrics}, nodeLists), q.mediaType)
			if err != nil {
				return err
			}
			o, err := ask(ctx, m.ideal, m.idealist, slices.Repeat([]string{allNodeMetrics}, nodeLists), q.mediaType)
			if err != nil {
				return err
			}
			mine.add(a)
			best.add(o)
		}
		b.addResource("all nodes, "+q.name, mine, best)
	}
	return b.resourceOne(ctx, m)
}

// nodeLists is how many lists of nodes a round has.
const nodeLists = 5

// resourceOne asks for single pods.
func (b *bench) resourceOne(ctx context.Context, m *metricsAPI) error {
	paths, err := m.some(ctx, b.cfg.Requests)
	if err != nil {
		return err
	}
	a, err := b.fromSnapshot(ctx, m, paths, protobuf)
	if err != nil {
		return err
	}
	o, err := ask(ctx, m.ideal, m.idealist, paths, protobuf)
	if err != nil {
		return err
	}
	b.Set("resource-all/pod", a.quantile(0.99), "%d pods one after the other, each with a SubjectAccessReview of its own; median %s ms, %s ms of CPU each", len(paths), report.Number(a.quantile(0.5)), report.Number(millis(a.cpu[0])))
	b.addResource("one pod, protobuf", a, o)
	return nil
}

// some are that many pods that both the aggregator and the ideal have: some were
// replaced since the ideal began.
func (m *metricsAPI) some(ctx context.Context, n int) ([]string, error) {
	var paths []string
	each := (n + len(m.deployments) - 1) / len(m.deployments)
	for _, d := range m.deployments {
		mine, _, err := m.client.pods(ctx, listOf(d))
		if err != nil {
			return nil, err
		}
		old, _, err := m.idealist.pods(ctx, listOf(d))
		if err != nil {
			return nil, err
		}
		known := map[string]bool{}
		for i := range old.Items {
			known[old.Items[i].Name] = true
		}
		least := len(paths) + each
		for i := 0; i < len(mine.Items) && len(paths) < least; i++ {
			if p := &mine.Items[i]; known[p.Name] {
				paths = append(paths, fmt.Sprintf("%s/namespaces/%s/pods/%s", metricsPath, p.Namespace, p.Name))
			}
		}
		if len(paths) >= n {
			return paths[:n], nil
		}
	}
	return nil, fmt.Errorf("%d of %d pods are still there", len(paths), n)
}
