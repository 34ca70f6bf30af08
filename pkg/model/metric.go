package model

import (
	"fmt"
	"strings"
)

// A Metric is one number of an entity in one slot. The numbers are part of
// the stored chunk format: new metrics go at the end, none is ever reused.
type Metric uint8

// The order puts what changes with every sample first: a chunk's mask of
// changed metrics is a varint, and its first seven bits fit in one byte.
const (
	// Measured is when the kubelet took the measurement, in Unix seconds.
	// Two slots with the same Measured hold the same measurement.
	Measured Metric = iota
	// CPU is the instant usage in nanocores, averaged by the kubelet over
	// its own last two samples (10 to 30 s).
	CPU
	// CPUTotal is the CPU time consumed since the entity started, in nanoseconds.
	CPUTotal
	// WorkingSet is the memory that cannot be reclaimed under pressure, in bytes.
	WorkingSet
	// Usage is all memory in use, page cache included, in bytes.
	Usage
	// RSS is anonymous memory and swap cache, in bytes.
	RSS
	// Swap is the swap in use, in bytes.
	Swap
	// NetworkRx is what was received since the interface came up, in bytes.
	NetworkRx
	// NetworkTx is what was sent since the interface came up, in bytes.
	NetworkTx
	// RootFS is the storage used: a node's root filesystem, a container's
	// writable layer, in bytes.
	RootFS
	// Logs is the storage used by a container's logs, in bytes.
	Logs
	// Ephemeral is a pod's ephemeral storage: writable layers, logs and
	// emptyDir volumes, in bytes.
	Ephemeral
	// PSICPUSome and its siblings are the times during which some or all
	// tasks waited for a resource, in microseconds since the entity started
	// (the kubelet's cAdvisor path; its documentation says nanoseconds).
	PSICPUSome
	PSICPUFull
	PSIMemorySome
	PSIMemoryFull
	PSIIOSome
	PSIIOFull
	// CPUWindow is the time over which CPU was measured, in milliseconds, up to
	// Measured; absent if that is not known. CPUMean is, where CPU is absent or of
	// a shorter time, the mean over the window by CPUTotal, in nanocores. Both
	// follow from other samples and are only in the newest scrape.
	CPUWindow
	CPUMean
	// NumMetrics is how many metrics there are.
	NumMetrics
)

// A metricInfo is what the outside sees of a metric.
type metricInfo struct {
	name    string
	unit    string
	counter bool
}

var metricInfos = [NumMetrics]metricInfo{
	Measured:      {"measured", "Unix seconds", true},
	CPU:           {"cpu", "nanocores", false},
	CPUTotal:      {"cpuTotal", "nanoseconds", true},
	WorkingSet:    {"memory", "bytes", false},
	Usage:         {"memoryUsage", "bytes", false},
	RSS:           {"rss", "bytes", false},
	Swap:          {"swap", "bytes", false},
	NetworkRx:     {"networkRx", "bytes", true},
	NetworkTx:     {"networkTx", "bytes", true},
	RootFS:        {"rootfs", "bytes", false},
	Logs:          {"logs", "bytes", false},
	Ephemeral:     {"ephemeral", "bytes", false},
	PSICPUSome:    {"psiCpuSome", "microseconds", true},
	PSICPUFull:    {"psiCpuFull", "microseconds", true},
	PSIMemorySome: {"psiMemorySome", "microseconds", true},
	PSIMemoryFull: {"psiMemoryFull", "microseconds", true},
	PSIIOSome:     {"psiIoSome", "microseconds", true},
	PSIIOFull:     {"psiIoFull", "microseconds", true},
	CPUWindow:     {"cpuWindow", "milliseconds", false},
	CPUMean:       {"cpuMean", "nanocores", false},
}

// String is the metric's name in the HTTP API ("cpu", "memory", "rss", …).
func (m Metric) String() string {
	if m >= NumMetrics {
		return fmt.Sprintf("metric(%d)", uint8(m))
	}
	return metricInfos[m].name
}

// Unit is the unit in which the metric is stored.
func (m Metric) Unit() string { return metricInfos[m].unit }

// Counter tells whether the metric only grows while its entity lives; over
// several slots the last value of a counter stands for all.
func (m Metric) Counter() bool { return metricInfos[m].counter }

// ParseMetric finds a metric by its name in the HTTP API.
func ParseMetric(name string) (Metric, error) {
	for m := range NumMetrics {
		if metricInfos[m].name == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown metric %q, known are %s", name, strings.Join(MetricNames(), ", "))
}

// MetricNames are the names of all metrics in the HTTP API, in stored order.
func MetricNames() []string {
	names := make([]string, NumMetrics)
	for m := range NumMetrics {
		names[m] = metricInfos[m].name
	}
	return names
}
