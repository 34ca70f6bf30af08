package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// mostListRounds is how often the lists of metrics.k8s.io are asked for, at most:
// each round takes a slot.
const mostListRounds = 3

// resourceTable is the table of what questions to metrics.k8s.io cost.
func resourceTable() *report.Table {
	return &report.Table{
		Name:    "metrics.k8s.io, a question",
		Columns: []string{"aggregator CPU ms", "p50 ms", "p99 ms", "ideal: CPU ms", "p50 ms", "p99 ms", "KB", "objects"},
		Note:    "The ideal is the same k8s.io/apiserver, which has the objects before it is asked. All over HTTP/2, uncompressed, one after the other.",
	}
}

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

// fresh waits until there is so much time left of the slot, and has the snapshot
// refreshed if it is of one before. What comes within that time is answered from it.
func (b *bench) fresh(ctx context.Context, m *metricsAPI, needs time.Duration) error {
	// Connections are probed, and members gossip, at any time.
	now := time.Now()
	next := time.Unix(model.SlotOf(now, b.cfg.Resolution), 0).Add(b.cfg.Resolution)
	if next.Sub(now) < needs {
		if err := child.Wait(ctx, time.Until(next)+afterwards); err != nil {
			return err
		}
	}
	before, err := m.flights(ctx)
	if err != nil {
		return err
	}
	c, err := costOf(ctx, m.aggregator.Process, m.fleet.Process, func() (time.Duration, error) {
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

// A kindOfList is a row of namespace lists.
type kindOfList struct {
	key, what, mediaType string
	paths                []string
}

// kindsOfLists are what autoscalers ask for.
func kindsOfLists(m *metricsAPI) []kindOfList {
	var own, shared []string
	for i, d := range m.deployments {
		if alone(i, len(m.deployments)) {
			own = append(own, listOf(d))
		} else {
			shared = append(shared, listOf(d))
		}
	}
	return []kindOfList{
		{"resource-lists/protobuf", "150 pods by label, a namespace of their own, protobuf", protobuf, own},
		{"resource-lists/protobuf-shared", "– a namespace with nine other deployments", protobuf, shared},
		{"resource-lists/json", "150 pods by label, a namespace of their own, JSON", asJSON, own},
		{"resource-lists/json-shared", "– a namespace with nine other deployments", asJSON, shared},
	}
}

// resourceLists asks for the pods of each deployment, as autoscalers do.
func (b *bench) resourceLists(ctx context.Context) error {
	m, err := b.theMetricsAPI(ctx)
	if err != nil {
		return err
	}
	kinds := kindsOfLists(m)
	mine, best := make([]batch, len(kinds)), make([]batch, len(kinds))
	for round := range min(b.cfg.Rounds, mostListRounds) + 1 {
		for i, k := range kinds {
			if round == 0 && k.mediaType == asJSON { // it only has everyone ask who may ask
				continue
			}
			stop := func() error { return nil }
			if round == 1 && i == 0 {
				stop = b.profileDuring(ctx, m.aggregator, "resource lists")
			}
			a, err := b.fromSnapshot(ctx, m, k.paths, k.mediaType)
			if err := errors.Join(err, stop()); err != nil {
				return err
			}
			if least := len(k.paths) * replicas * wholePercent / 100; a.items < least {
				return fmt.Errorf("%s: %d pods in %d answers", k.key, a.items, len(k.paths))
			}
			o, err := ask(ctx, m.ideal, m.idealist, k.paths, k.mediaType)
			if err != nil {
				return err
			}
			if round > 0 {
				mine[i].add(a)
				best[i].add(o)
			}
		}
	}
	for i, k := range kinds {
		cpu, ideal := median(mine[i].cpu), median(best[i].cpu)
		b.Set(k.key, ratio(cpu, ideal), "%s of %s ms a list of %d pods on average, %d lists in turn, %s KB each; 99 %% within %s ms", report.Number(millis(cpu)), report.Number(millis(ideal)),
			mine[i].items/mine[i].asked, mine[i].asked, report.Number(float64(mine[i].bytes)/float64(mine[i].asked)/1000), report.Number(mine[i].quantile(0.99)))
		b.addResource(k.what, mine[i], best[i])
	}
	return nil
}

// addResource adds a question to the table.
func (b *bench) addResource(what string, mine, ideal batch) {
	figures := []float64{millis(median(mine.cpu)), mine.quantile(0.5), mine.quantile(0.99), report.NotMeasured, report.NotMeasured, report.NotMeasured,
		float64(mine.bytes) / float64(mine.asked) / 1000, float64(mine.items) / float64(mine.asked)}
	if ideal.asked > 0 {
		figures[3], figures[4], figures[5] = millis(median(ideal.cpu)), ideal.quantile(0.5), ideal.quantile(0.99)
	}
	b.resources.Lines = append(b.resources.Lines, report.TableLine{What: what, Figures: figures})
}

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
	b.Set("resource-all/pod", a.quantile(0.99), "%d pods one after the other, median %s ms, %s ms of CPU each", len(paths), report.Number(a.quantile(0.5)), report.Number(millis(a.cpu[0])))
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

// resourceRows are the rows of metrics.k8s.io.
func resourceRows() []*report.Row {
	return []*report.Row{
		{Key: "resource-lists/protobuf", What: "metrics.k8s.io, 150 pods by label, in a namespace of their own, protobuf: aggregator's CPU ÷ ideal's", Unit: "×", Target: 1.5},
		{Key: "resource-lists/protobuf-shared", What: "– in a namespace of ten deployments", Unit: "×", Target: 1.5},
		{Key: "resource-lists/json", What: "– in a namespace of their own, JSON", Unit: "×", Target: 1.5},
		{Key: "resource-lists/json-shared", What: "– in a namespace of ten deployments, JSON", Unit: "×", Target: 1.5},
		{Key: "resource-hpa/cores", What: "1000 HorizontalPodAutoscalers every 15 s: aggregator's CPU", Unit: "cores", Target: 0.25},
		{Key: "resource-hpa/refresh", What: "– of which refreshing the snapshot, once a slot", Unit: "cores"},
		{Key: "resource-hpa/idle", What: "– of which nobody's question: gossip, connections, watches", Unit: "cores"},
		{Key: "resource-hpa/p99", What: "– a list: p99", Unit: "ms"},
		{Key: "resource-hpa/age", What: "– how old values are when they are answered: median", Unit: "s"},
		{Key: "resource-hpa/age99", What: "– 99 %", Unit: "s"},
		{Key: "resource-hpa/reviews", What: "– SubjectAccessReviews", Unit: "a minute"},
		{Key: "resource-all/protobuf", What: "metrics.k8s.io, all pods, protobuf: CPU", Unit: "s"},
		{Key: "resource-all/json", What: "– JSON: CPU", Unit: "s"},
		{Key: "resource-all/peak", What: "– JSON: peak memory", Unit: "MiB"},
		{Key: "resource-all/pod", What: "– one pod: p99", Unit: "ms"},
		{Key: "resource-start/wall", What: "start of an aggregator with metrics.k8s.io to its first list of 150 pods: wall", Unit: "s"},
		{Key: "resource-start/cpu", What: "– CPU", Unit: "s"},
		{Key: "resource-start/memory", What: "– resident afterwards", Unit: "MiB"},
		{Key: "resource-memory/pods", What: "all running pods known: memory added", Unit: "MiB"},
		{Key: "resource-memory/cpu", What: "– CPU of listing them", Unit: "s"},
	}
}
