package main

import (
	"slices"

	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// names are the measurements in the order in which they are done.
const names = "start, idle, warm, history, scraper, snapshot, namespace, container, render, roster, faults, dashboard, " +
	"resource-start, resource-lists, resource-hpa, resource-all, resource-memory"

// rows are all figures with a row of their own, in the order of the table. Keys
// begin with the name of the measurement that sets them.
func rows() []*report.Row {
	return slices.Concat(apiRows(), dashboardRows(), resourceRows(), scraperRows())
}

// apiRows are those of /api/v1, and of an aggregator as such.
func apiRows() []*report.Row {
	return []*report.Row{
		{Key: "warm/cpu", What: "latest node usage, all nodes: aggregator's CPU ÷ limit's", Unit: "×", Target: 2.5, Prototype: "2.3; thin client 1.3"},
		{Key: "warm/wall", What: "– wall ÷ limit's", Unit: "×", Target: 2},
		{Key: "warm/agent", What: "– agents: CPU a request", Unit: "µs", Target: 60, Prototype: "36–45"},
		{Key: "history/cpu", What: "15 min of all nodes, as JSON: aggregator's CPU ÷ limit's", Unit: "×", Target: 3},
		{Key: "snapshot/cpu", What: "refresh of the snapshot and all pods as JSON: CPU ÷ central scraper's cycle", Unit: "×", Target: 1. / 6, Prototype: "0.125; thin client 0.071"},
		{Key: "snapshot/peak", What: "– peak memory ÷ central scraper's", Unit: "×", Target: 1. / 4, Prototype: "0.2; thin client 0.1"},
		{Key: "idle/memory", What: "aggregator with all connections, no snapshot: resident", Unit: "MiB", Target: 160, Prototype: "135–158; thin client 59–78"},
		{Key: "snapshot/memory", What: "aggregator with a full snapshot: resident", Unit: "MiB", Target: 260},
		{Key: "render/cpu", What: "JSON: CPU per 100,000 points", Unit: "ms", Target: 15, Prototype: "7–10; encoding/json 68"},
		{Key: "render/allocations", What: "– allocations a point more", Unit: "allocations", Target: 0.01},
		{Key: "namespace/p99", What: "a namespace of 500 pods, latest, from the snapshot: p99", Unit: "ms", Target: 10},
		{Key: "container/wall", What: "one container, 24 h, through the directory: median", Unit: "ms", Target: 20},
		{Key: "container/asked", What: "– nodes asked", Unit: "nodes", Target: 1},
		{Key: "start/cpu", What: "start of an aggregator to its first complete answer: CPU", Unit: "s", Target: 7},
		{Key: "start/wall", What: "– wall", Unit: "s", Target: 30},
		{Key: "faults/wall", What: "1 % silent, 1 % slow by 3 s, 1 % garbage: full answer", Unit: "ms", Target: millis(nodeTimeout + faultMargin)},
		{Key: "faults/ok", What: "– nodes that answered", Unit: "%", Target: 97, AtLeast: true},
		{Key: "faults/named", What: "– faulty nodes that the coverage has with an outcome", Unit: "%", Target: 100, AtLeast: true},
		{Key: "faults/again", What: "– the same, second time: wall ÷ healthy", Unit: "×", Target: 1.2},
		{Key: "roster/memory", What: "one real member among the others, simulated: memory added by the roster", Unit: "MiB", Target: 15, Prototype: "11"},
	}
}

// scraperRows are those of the baseline.
func scraperRows() []*report.Row {
	return []*report.Row{
		{Key: "scraper/cpu", What: "central scraper: CPU of a cycle", Unit: "ms", Prototype: "2480"},
		{Key: "scraper/peak", What: "– peak memory", Unit: "MiB", Prototype: "1115 MB"},
		{Key: "scraper/negotiated", What: "– CPU of a cycle over HTTP/2 with gzip, which metrics-server negotiates", Unit: "ms"},
	}
}
