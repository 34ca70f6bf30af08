package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/prometheus/model/textparse"
)

// A point is what is known of a node or a container at a time.
type point struct {
	start, at time.Time
	cpu       uint64 // nanoseconds since the start
	memory    uint64 // bytes, working set
	swap      uint64 // bytes
}

// A pod is its name.
type pod struct{ namespace, name string }

// A batch is one node's points, or all nodes'.
type batch struct {
	nodes map[string]point
	pods  map[pod]map[string]point // by container
}

func newBatch() *batch {
	return &batch{nodes: map[string]point{}, pods: map[pod]map[string]point{}}
}

func (b *batch) merge(other *batch) {
	for name, p := range other.nodes {
		b.nodes[name] = p
	}
	for ref, containers := range other.pods {
		b.pods[ref] = containers
	}
}

// decode takes apart what a kubelet answers. Points that lack CPU or memory
// are left out, a container's with its pod.
func decode(text []byte, now time.Time, name string) (*batch, error) {
	parser, err := textparse.New(text, "text/plain", nil, textparse.ParserOptions{})
	if err != nil {
		return nil, err
	}
	b, node := newBatch(), point{}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		series, at, value := parser.Series()
		measured := now
		if at != nil {
			measured = time.UnixMilli(*at)
		}
		family, labels := series, []byte(nil)
		if i := bytes.IndexByte(series, '{'); i >= 0 {
			family, labels = series[:i], series[i:]
		}
		switch string(family) {
		case "node_cpu_usage_seconds_total":
			node.cpu, node.at = uint64(value*1e9), measured
		case "node_memory_working_set_bytes":
			node.memory, node.at = uint64(value), measured
		case "node_swap_usage_bytes":
			node.swap, node.at = uint64(value), measured
		case "container_cpu_usage_seconds_total":
			b.container(labels, func(p *point) { p.cpu, p.at = uint64(value*1e9), measured })
		case "container_memory_working_set_bytes":
			b.container(labels, func(p *point) { p.memory, p.at = uint64(value), measured })
		case "container_swap_usage_bytes":
			b.container(labels, func(p *point) { p.swap, p.at = uint64(value), measured })
		case "container_start_time_seconds":
			b.container(labels, func(p *point) { p.start = time.Unix(0, int64(value*1e9)) })
		}
	}
	if node.cpu == 0 || node.memory == 0 {
		return nil, fmt.Errorf("the text has no complete point of the node")
	}
	b.nodes[name] = node
	for ref, containers := range b.pods {
		for _, p := range containers {
			if p.cpu == 0 || p.memory == 0 {
				delete(b.pods, ref)
				break
			}
		}
	}
	return b, nil
}

// container changes the point of the container that the labels name.
func (b *batch) container(labels []byte, change func(*point)) {
	ref := pod{namespace: label(labels, `namespace="`), name: label(labels, `pod="`)}
	containers := b.pods[ref]
	if containers == nil {
		containers = map[string]point{}
		b.pods[ref] = containers
	}
	name := label(labels, `container="`)
	p := containers[name]
	change(&p)
	containers[name] = p
}

// label is the value of a label; the names of Kubernetes need no unescaping.
func label(labels []byte, tag string) string {
	i := bytes.Index(labels, []byte(tag))
	if i < 0 {
		return ""
	}
	rest := labels[i+len(tag):]
	return string(rest[:max(0, bytes.IndexByte(rest, '"'))])
}
