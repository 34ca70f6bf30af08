package main

import "github.com/rollcall-metrics/rollcall/e2e/bench/report"

// names are the measurements in the order in which they are done.
const names = "binary, decode, store, moving, read, reopen, speed, pace, idle, resident, crowd, days, layouts, options"

// rows are all figures with a row of their own, in the order of the table. Keys
// begin with the name of the measurement that sets them.
func rows() []*report.Row {
	return []*report.Row{
		{Key: "store/disk", What: "disk after 24 h, all files", Unit: "MB", Target: 24, Prototype: "22.4"},
		{Key: "store/number", What: "– per number stored", Unit: "B", Target: 0.9, Prototype: "0.87"},
		{Key: "store/peak", What: "– most at any time, of 48 h", Unit: "MB", Target: 32, Prototype: "28"},
		{Key: "moving/number", What: "– per number, if all counters move", Unit: "B", Target: 1.6},
		{Key: "moving/disk", What: "– in all, if all counters move", Unit: "MB"},
		{Key: "store/cpu", What: "encode and store a scrape, fsync included", Unit: "ms CPU", Target: 0.5, Prototype: "0.4–0.55"},
		{Key: "store/written", What: "written to disk a day", Unit: "MB", Target: 150, Prototype: "145"},
		{Key: "read/container", What: "read 15 min of a container", Unit: "ms CPU", Target: 0.05, Prototype: "0.023"},
		{Key: "read/pod", What: "read 24 h of a pod with its containers", Unit: "ms CPU", Target: 3, Prototype: "2.3"},
		{Key: "read/all", What: "read 15 min of all pods", Unit: "ms CPU", Target: 2.5, Prototype: "1.6"},
		{Key: "read/latest", What: "read the latest of all", Unit: "ms CPU", Target: 0.02, Prototype: "0.006"},
		{Key: "decode/cpu", What: "decode a full Summary", Unit: "ms CPU", Target: 1.2, Prototype: "0.8"},
		{Key: "decode/allocs", What: "–", Unit: "allocations", Target: 500, Prototype: "0"},
		{Key: "decode/json-cpu", What: "– by encoding/json into Kubernetes' types", Unit: "ms CPU", Prototype: "10.5"},
		{Key: "decode/json-allocs", What: "– by encoding/json into Kubernetes' types", Unit: "allocations", Prototype: "18,600"},
		{Key: "idle/agent", What: "agent between samples, roster apart", Unit: "millicores", Target: 0.1, Prototype: "0.017"},
		{Key: "idle/frozen", What: "– measured with gossip at a standstill", Unit: "millicores"},
		{Key: "idle/roster", What: "– the roster alone, no other member", Unit: "millicores"},
		{Key: "speed/agent", What: "agent at 15 s by samples at speed, roster apart", Unit: "millicores", Target: 0.35, Prototype: "0.16–0.21"},
		{Key: "pace/agent", What: "agent at 15 s at real pace, roster apart", Unit: "millicores", Target: 0.35, Prototype: "0.31"},
		{Key: "resident/child", What: "resident after 24 h, 3 members, same process", Unit: "MiB", Target: 30, Prototype: "26–27"},
		{Key: "resident/agent", What: "resident with 24 h, 3 members, after a restart", Unit: "MiB", Target: 30},
		{Key: "crowd/agent", What: "resident with 24 h, 5000 members", Unit: "MiB", Target: 42, Prototype: "+11"},
		{Key: "reopen/cpu", What: "open 24 h, checksums included", Unit: "ms CPU", Target: 100, Prototype: "25"},
		{Key: "binary/size", What: "binary", Unit: "MB", Target: 30},
		{Key: "days/disk", What: "7 days: disk on the last, as part of the second", Unit: "×", Target: 1.1},
		{Key: "days/memory", What: "7 days: resident on the last, as part of the second", Unit: "×", Target: 1.1},
	}
}
