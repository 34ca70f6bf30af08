package standin

import (
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// A form is how much of the document an answer has.
type form uint8

const (
	light form = iota + 1
	full
)

func (f form) String() string {
	if f == light {
		return "light"
	}
	return "full"
}

// formOf reads the query as the kubelet does: only exactly one value, and only
// "true", asks for the light form (pkg/kubelet/server/stats/handler.go).
func formOf(query url.Values) form {
	if v := query["only_cpu_and_memory"]; len(v) == 1 && v[0] == "true" {
		return light
	}
	return full
}

// rootCgroupDelay is how much later than the node the root cgroup was created,
// whose time stands for the node's start in the light form; 2 s as recorded.
const rootCgroupDelay = 2 * time.Second

// lighten takes out what the kubelet leaves out of a light answer. PSI stays
// where it is part of cpu and memory.
func lighten(doc *stats.Summary) {
	n := &doc.Node
	n.StartTime = metav1.NewTime(n.StartTime.Add(rootCgroupDelay))
	n.IO, n.Network, n.Fs, n.Runtime, n.Rlimit = nil, nil, nil, nil, nil
	lightenContainers(n.SystemContainers)
	for i := range doc.Pods {
		p := &doc.Pods[i]
		p.IO, p.Network, p.VolumeStats, p.EphemeralStorage, p.ProcessStats = nil, nil, nil, nil, nil
		lightenContainers(p.Containers)
	}
}

func lightenContainers(containers []stats.ContainerStats) {
	for i := range containers {
		c := &containers[i]
		c.IO, c.Rootfs, c.Logs = nil, nil, nil
	}
}
