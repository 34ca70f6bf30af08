package model

import (
	"fmt"
	"math/bits"
	"strings"
)

// A Query asks one node for its chunks.
type Query struct {
	// Pods asks for the node's pods; otherwise it is the node itself.
	Pods bool
	// Namespace, Pod and Container, if not empty, keep only that namespace, pod
	// or container. A pod needs its namespace, a container its pod.
	Namespace, Pod, Container string
	// NoOwn leaves out what a pod has besides its containers, unless that is all
	// there is of it: then it shows that the pod was there.
	NoOwn bool
	// From and To bound the slots, both included, in Unix seconds.
	From, To int64
	// Metrics are those to keep; 0 is all.
	Metrics Metrics
	// Step, if not 0, makes one value of all slots of a step, in seconds, a
	// multiple of the resolution; Agg says how.
	Step int64
	Agg  Aggregate
}

// Metrics is a set of metrics: bit m is metric m.
type Metrics uint32

// AllMetrics has every metric there is.
const AllMetrics Metrics = 1<<NumMetrics - 1

// Derived are the metrics that follow from others. They are not stored.
const Derived Metrics = 1<<CPUWindow | 1<<CPUMean

// MetricsOf is the set of those metrics.
func MetricsOf(metrics ...Metric) Metrics {
	var s Metrics
	for _, m := range metrics {
		s |= 1 << m
	}
	return s
}

// Has tells whether m is in the set.
func (s Metrics) Has(m Metric) bool { return s&(1<<m) != 0 }

// Len is how many metrics are in the set.
func (s Metrics) Len() int { return bits.OnesCount32(uint32(s)) }

// An Aggregate is how the slots of one step become one value. A counter's
// value is the last one where others take the mean: a mean of a counter says
// nothing. What is absent from all slots of a step is absent from the step.
type Aggregate string

// The aggregates. Mean is rounded half up.
const (
	Mean Aggregate = "mean"
	Max  Aggregate = "max"
	Min  Aggregate = "min"
	Last Aggregate = "last"
)

// ParseAggregate reads one of the aggregates.
func ParseAggregate(s string) (Aggregate, error) {
	names := []string{string(Mean), string(Max), string(Min), string(Last)}
	for _, name := range names {
		if s == name {
			return Aggregate(s), nil
		}
	}
	return "", fmt.Errorf("%q is none of %s", s, strings.Join(names, ", "))
}

// Of is how a metric is aggregated: Last instead of Mean for counters.
func (a Aggregate) Of(m Metric) Aggregate {
	if a == Mean && m.Counter() {
		return Last
	}
	return a
}
