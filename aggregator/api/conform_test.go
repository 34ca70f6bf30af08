package api

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1/apiv1test"
	"github.com/rollcall-metrics/rollcall/pkg/model"
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

func TestFleetConforms(t *testing.T) {
	apiv1test.TestSource(t, func(_ *testing.T, h *apiv1test.History) apiv1.Source {
		f := fanout.New(fanout.Config{}, oneAgent{h}, prometheus.NewRegistry())
		return Fleet(nodes{apiv1test.Node}, func() bool { return true }, f)
	})
}
