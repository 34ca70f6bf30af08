package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// mostListRounds is how often the lists of metrics.k8s.io are asked for, at most:
// each round takes a slot.
const mostListRounds = 3

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
