package api

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1/apiv1test"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// oneAgent answers as an agent does.
type oneAgent struct{ *apiv1test.History }

func (a oneAgent) Ask(_ context.Context, node string, q model.Query, take func(int) bool) (apiv1.NodeAnswer, error) {
	answer := apiv1.NodeAnswer{Node: node, Chunks: a.Chunks(q)}
	for _, c := range answer.Chunks {
		take(len(c))
	}
	answer.Known = q.Namespace != "" && a.Knows(q.Namespace, q.Pod)
	return answer, a.Err
}

// Latest has no scrape: the history is long past. It has the names of all pods.
func (a oneAgent) Latest(context.Context, string, wire.Latest, func(int) bool) (agents.Latest, error) {
	latest := agents.Latest{Resolution: 15 * time.Second}
	for _, b := range a.Chunks(model.Query{Pods: true, To: 1 << 40}) {
		if c, err := chunk.Parse(b); err == nil {
			latest.Pods = append(latest.Pods, agents.PodName{Namespace: c.Pod.Namespace, Name: c.Pod.Name})
		}
	}
	return latest, a.Err
}

func (oneAgent) Probe(context.Context, string) error { return nil }

func (oneAgent) Incarnation(string) agents.Incarnation { return agents.Incarnation{} }

func TestFleetConforms(t *testing.T) {
	apiv1test.TestSource(t, func(t *testing.T, h *apiv1test.History) apiv1.Source {
		a := oneAgent{h}
		f := fanout.New(fanout.Config{}, a, prometheus.NewRegistry())
		return newFleet(t, nodes{apiv1test.Node}, true, f, a)
	})
}
