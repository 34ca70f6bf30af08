package resource

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Machinery gathers what k8s.io/apiserver tells of itself: requests by code and
// duration, reviews, audit. It has a registry of its own for the whole process.
func Machinery() prometheus.Gatherer {
	metrics.Register()
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := legacyregistry.DefaultGatherer.Gather()
		return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
			return !strings.HasPrefix(f.GetName(), "apiserver_") // others are of the process, and ours
		}), err
	})
}

// aliases are metrics-server's names of what we have, for dashboards and alerts
// that were made for it.
var aliases = []struct{ of, name, help string }{
	{"rollcall_snapshot_flight_seconds", "metrics_server_manager_tick_duration_seconds",
		"Alias of rollcall_snapshot_flight_seconds: duration of questions to all agents."},
	{"rollcall_resource_age_seconds", "metrics_server_api_metric_freshness_seconds",
		"Alias of rollcall_resource_age_seconds: how old values were when they were served."},
	{"rollcall_fanout_answers_total", "metrics_server_kubelet_request_total",
		"Alias of rollcall_fanout_answers_total: answers of agents, not of kubelets, by whether they were complete."},
	{"rollcall_snapshot_nodes", "metrics_server_storage_points",
		"Alias of rollcall_snapshot_nodes and rollcall_snapshot_pods: nodes and pods with values of the last slot."},
}

// WithAliases gathers what g does, and some of it once more under the names that
// metrics-server has for it. Its metrics with a label for each node are left out.
func WithAliases(g prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := g.Gather()
		known := map[string]*dto.MetricFamily{}
		for _, f := range families {
			known[f.GetName()] = f
		}
		for _, a := range aliases {
			of, ok := known[a.of]
			if !ok {
				continue
			}
			alias := &dto.MetricFamily{Name: proto.String(a.name), Help: proto.String(a.help), Type: of.Type, Metric: of.GetMetric()}
			switch a.of {
			case "rollcall_fanout_answers_total":
				alias.Metric = bySuccess(of.GetMetric())
			case "rollcall_snapshot_nodes":
				alias.Metric = append(typed(of, "node"), typed(known["rollcall_snapshot_pods"], "pod")...)
			}
			families = append(families, alias)
		}
		return families, err
	})
}

// bySuccess adds up counters by outcome.
func bySuccess(by []*dto.Metric) []*dto.Metric {
	sums := map[string]float64{"true": 0, "false": 0}
	for _, m := range by {
		for _, l := range m.GetLabel() {
			switch {
			case l.GetName() != "outcome":
			case l.GetValue() == "ok":
				sums["true"] += m.GetCounter().GetValue()
			default:
				sums["false"] += m.GetCounter().GetValue()
			}
		}
	}
	var all []*dto.Metric
	for _, success := range []string{"false", "true"} {
		all = append(all, &dto.Metric{
			Label:   []*dto.LabelPair{{Name: proto.String("success"), Value: proto.String(success)}},
			Counter: &dto.Counter{Value: proto.Float64(sums[success])},
		})
	}
	return all
}

// typed is a gauge with the label that metrics-server has.
func typed(f *dto.MetricFamily, value string) []*dto.Metric {
	var all []*dto.Metric
	for _, m := range f.GetMetric() {
		all = append(all, &dto.Metric{
			Label: []*dto.LabelPair{{Name: proto.String("type"), Value: proto.String(value)}}, Gauge: m.GetGauge(),
		})
	}
	return all
}
