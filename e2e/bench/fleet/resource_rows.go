package main

import (
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

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
		{Key: "resource-start/discovery", What: "start of an aggregator to discovery of metrics.k8s.io", Unit: "s", Target: 1},
		{Key: "resource-start/wall", What: "start of an aggregator with metrics.k8s.io to its first list of 150 pods: wall", Unit: "s"},
		{Key: "resource-start/cpu", What: "– CPU", Unit: "s"},
		{Key: "resource-start/memory", What: "– resident afterwards", Unit: "MiB"},
		{Key: "resource-memory/pods", What: "all running pods known: memory added", Unit: "MiB"},
		{Key: "resource-memory/cpu", What: "– CPU of listing them", Unit: "s"},
	}
}

// resourceTable is the table of what questions to metrics.k8s.io cost.
func resourceTable() *report.Table {
	return &report.Table{
		Name:    "metrics.k8s.io, a question",
		Columns: []string{"aggregator CPU ms", "p50 ms", "p99 ms", "ideal: CPU ms", "p50 ms", "p99 ms", "KB", "objects"},
		Note:    "The ideal is the same k8s.io/apiserver, which has the objects before it is asked. All over HTTP/2, uncompressed, one after the other.",
	}
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
