package resource

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestAliases(t *testing.T) {
	reg := prometheus.NewRegistry()
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_fanout_answers_total"}, []string{"outcome"})
	nodes := prometheus.NewGauge(prometheus.GaugeOpts{Name: "rollcall_snapshot_nodes"})
	pods := prometheus.NewGauge(prometheus.GaugeOpts{Name: "rollcall_snapshot_pods"})
	reg.MustRegister(answers, nodes, pods)
	answers.WithLabelValues("ok").Add(7)
	answers.WithLabelValues("dead").Add(2)
	answers.WithLabelValues("timeout").Add(3)
	nodes.Set(4)
	pods.Set(9)
	want := `
# HELP metrics_server_kubelet_request_total Alias of rollcall_fanout_answers_total: answers of agents, not of kubelets, by whether they were complete.
# TYPE metrics_server_kubelet_request_total counter
metrics_server_kubelet_request_total{success="false"} 5
metrics_server_kubelet_request_total{success="true"} 7
# HELP metrics_server_storage_points Alias of rollcall_snapshot_nodes and rollcall_snapshot_pods: nodes and pods with values of the last slot.
# TYPE metrics_server_storage_points gauge
metrics_server_storage_points{type="node"} 4
metrics_server_storage_points{type="pod"} 9
`
	if err := testutil.GatherAndCompare(WithAliases(reg), strings.NewReader(want), "metrics_server_kubelet_request_total", "metrics_server_storage_points"); err != nil {
		t.Error(err)
	}
}

func TestMachineryMetrics(t *testing.T) {
	c := serve(t, newFleet("shop/cart"))
	gatherer := Machinery()
	c.get("pods", "")
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
		if !strings.HasPrefix(f.GetName(), "apiserver_") {
			t.Errorf("%s", f.GetName())
		}
	}
	if !strings.Contains(strings.Join(names, " "), "apiserver_request_total") {
		t.Errorf("no requests in %q", names)
	}
}
