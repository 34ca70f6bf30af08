package kubelets

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// Pods and Containers of a node: every other pod has two containers.
	Pods       = 30
	Containers = Pods + Pods/2
)

// workloads are those of the recorded node; the pods' names are as long.
var workloads = [...]struct{ namespace, set, first, second string }{
	{"shop", "cart-5dc9c6f44c", "app", "envoy"},
	{"shop", "catalog-7cf996bdc5", "app", "envoy"},
	{"batch", "etl-5d7bd464b6", "etl", "log"},
	{"infra", "cron-6b4bbdf8f5", "cron", "agent"},
	{"shop", "front-78449b467b", "front", "envoy"},
}

// A document writes one node's answer.
type document struct {
	node       int
	pods       []string // labels, "namespace=…,pod=…"
	containers []string // labels, of the container first
	began      time.Time
}

// began is when all containers have started, before now.
const began = 36 * time.Hour

func newDocument(node int, now time.Time) *document {
	d := &document{node: node, began: now.Add(-began)}
	for i := range Pods {
		w := workloads[i%len(workloads)]
		// A pod's name ends with five of the characters that Kubernetes uses.
		pod := fmt.Sprintf(`namespace="%s-%02d",pod="%s-%s"`, w.namespace, node%20, w.set, suffix(node*Pods+i))
		d.pods = append(d.pods, "{"+pod+"}")
		d.containers = append(d.containers, `{container="`+w.first+`",`+pod+"}")
		if i%2 == 1 {
			d.containers = append(d.containers, `{container="`+w.second+`",`+pod+"}")
		}
	}
	return d
}

// suffix is five characters, another one for each n below 27 to the 5th.
func suffix(n int) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	var s strings.Builder
	for range 5 {
		s.WriteByte(alphabet[n%len(alphabet)])
		n /= len(alphabet)
	}
	return s.String()
}

// append writes the answer of a moment.
func (d *document) append(b []byte, now time.Time) []byte {
	at := now.UnixMilli()
	up := now.Sub(d.began)
	// Nanoseconds of CPU: each has its own share of a core, a thousandth and more.
	cpu := func(i int) float64 { return float64(int64(up)/1000*int64(1+(d.node+7*i)%50)) / 1e9 }
	memory := func(i int) float64 { return float64(4096 * (500 + (d.node*31+i*977+int(at/1000))%9000)) }
	zero := func(int) float64 { return 0 }
	started := func(i int) float64 { return float64(d.began.UnixNano()+int64(i)*1_000_003) / 1e9 }

	b = family(b, "container_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the container in core-seconds", "counter", d.containers, cpu, at)
	b = family(b, "container_memory_working_set_bytes", "[STABLE] Current working set of the container in bytes", "gauge", d.containers, memory, at)
	b = family(b, "container_start_time_seconds", "[STABLE] Start time of the container since unix epoch in seconds", "gauge", d.containers, started, 0)
	b = family(b, "container_swap_limit_bytes", "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems", "gauge", d.containers, zero, at)
	b = family(b, "container_swap_usage_bytes", "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems", "gauge", d.containers, zero, at)
	node := []string{""}
	b = family(b, "node_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the node in core-seconds", "counter", node, cpu, at)
	b = family(b, "node_memory_working_set_bytes", "[STABLE] Current working set of the node in bytes", "gauge", node, memory, at)
	b = family(b, "node_swap_usage_bytes", "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems", "gauge", node, zero, at)
	b = family(b, "pod_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", "counter", d.pods, cpu, at)
	b = family(b, "pod_memory_working_set_bytes", "[STABLE] Current working set of the pod in bytes", "gauge", d.pods, memory, at)
	b = family(b, "pod_swap_usage_bytes", "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems", "gauge", d.pods, zero, at)
	return family(b, "resource_scrape_error", "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise", "gauge", node, zero, 0)
}

// family writes a family; at, in milliseconds, is when it was measured, 0 is
// not said.
func family(b []byte, name, help, kind string, series []string, value func(i int) float64, at int64) []byte {
	for _, s := range []string{"# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"} {
		b = append(b, s...)
	}
	for i, labels := range series {
		b = append(append(b, name...), labels...)
		b = strconv.AppendFloat(append(b, ' '), value(i), 'g', -1, 64)
		if at != 0 {
			b = strconv.AppendInt(append(b, ' '), at, 10)
		}
		b = append(b, '\n')
	}
	return b
}
