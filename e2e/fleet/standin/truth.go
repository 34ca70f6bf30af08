package standin

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// A Truth is what a kubelet served.
type Truth struct {
	Node       string      `json:"node"`
	Resolution int64       `json:"resolution"` // seconds
	Slots      []TruthSlot `json:"slots"`      // ascending; only those served
}

// A TruthSlot is the last answer that was served whole in one slot.
type TruthSlot struct {
	Slot     int64         `json:"slot"`     // start, Unix seconds
	Form     string        `json:"form"`     // full or light
	Entities []TruthEntity `json:"entities"` // by namespace, pod, UID and container; the node comes first
}

// A TruthEntity is what an answer said about the node (all names are empty), a
// pod (no container) or a container.
type TruthEntity struct {
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	UID       string `json:"uid,omitempty"`
	Container string `json:"container,omitempty"`
	Start     int64  `json:"start"` // startTime, Unix seconds
	// Values are what the answer had, by metric, in the units it had them in:
	// measured (Unix seconds; of cpu, or of memory where cpu is absent), cpu
	// (nanocores), cpuTotal (nanoseconds), memory, memoryUsage, rss, swap,
	// networkRx, networkTx, rootfs, logs, ephemeral (bytes), psiCpuSome,
	// psiCpuFull, psiMemorySome, psiMemoryFull, psiIoSome, psiIoFull
	// (microseconds). What was absent is absent; a cpu of 0 is 0.
	Values map[string]uint64 `json:"values"`
}

// Truth is what was served whole for the slots from from to to, both included,
// in Unix seconds; of the last 24 h at most. Answers that a fault cut short do
// not count. Of several answers for a slot the last one counts, light or full.
func (k *Kubelet) Truth(from, to int64) Truth {
	t := Truth{Node: k.node, Resolution: k.resolution, Slots: []TruthSlot{}}
	first := floorTo(from, k.resolution) / k.resolution
	if first*k.resolution < from {
		first++
	}
	for _, s := range k.served.between(first, floorTo(to, k.resolution)/k.resolution) {
		t.Slots = append(t.Slots, TruthSlot{
			Slot:     s.turn * k.resolution,
			Form:     s.form.String(),
			Entities: entitiesOf(k.stage.document(s.turn, s.form)),
		})
	}
	return t
}

// entitiesOf reads a document out.
func entitiesOf(doc *stats.Summary) []TruthEntity {
	n := &doc.Node
	all := []TruthEntity{{Start: n.StartTime.Unix(), Values: values{}.
		usage(n.CPU, n.Memory, n.Swap).io(n.IO).network(n.Network).used("rootfs", n.Fs)}}
	for i := range doc.Pods {
		p := &doc.Pods[i]
		pod := TruthEntity{Namespace: p.PodRef.Namespace, Pod: p.PodRef.Name, UID: p.PodRef.UID}
		pod.Start = p.StartTime.Unix()
		pod.Values = values{}.usage(p.CPU, p.Memory, p.Swap).io(p.IO).network(p.Network).used("ephemeral", p.EphemeralStorage)
		all = append(all, pod)
		for j := range p.Containers {
			c := &p.Containers[j]
			container := pod
			container.Container = c.Name
			container.Start = c.StartTime.Unix()
			container.Values = values{}.usage(c.CPU, c.Memory, c.Swap).io(c.IO).used("rootfs", c.Rootfs).used("logs", c.Logs)
			all = append(all, container)
		}
	}
	slices.SortFunc(all, func(a, b TruthEntity) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod),
			cmp.Compare(a.UID, b.UID), cmp.Compare(a.Container, b.Container))
	})
	return all
}

// values gathers what is there by metric.
type values map[string]uint64

func (v values) set(metric string, value *uint64) {
	if value != nil {
		v[metric] = *value
	}
}

func (v values) usage(cpu *stats.CPUStats, memory *stats.MemoryStats, swap *stats.SwapStats) values {
	if memory != nil {
		v.measured(memory.Time)
		v.set("memory", memory.WorkingSetBytes)
		v.set("memoryUsage", memory.UsageBytes)
		v.set("rss", memory.RSSBytes)
		v.pressure("psiMemory", memory.PSI)
	}
	if cpu != nil {
		v.measured(cpu.Time)
		v.set("cpu", cpu.UsageNanoCores)
		v.set("cpuTotal", cpu.UsageCoreNanoSeconds)
		v.pressure("psiCpu", cpu.PSI)
	}
	if swap != nil {
		v.set("swap", swap.SwapUsageBytes)
	}
	return v
}

func (v values) measured(t metav1.Time) {
	if !t.IsZero() {
		v["measured"] = uint64(t.Unix())
	}
}

func (v values) pressure(prefix string, psi *stats.PSIStats) {
	if psi != nil {
		v[prefix+"Some"] = psi.Some.Total
		v[prefix+"Full"] = psi.Full.Total
	}
}

func (v values) io(io *stats.IOStats) values {
	if io != nil {
		v.pressure("psiIo", io.PSI)
	}
	return v
}

// network takes the default interface where there is one, else all together.
func (v values) network(n *stats.NetworkStats) values {
	if n == nil {
		return v
	}
	if n.RxBytes != nil || n.TxBytes != nil {
		v.set("networkRx", n.RxBytes)
		v.set("networkTx", n.TxBytes)
		return v
	}
	for i := range n.Interfaces {
		v.add("networkRx", n.Interfaces[i].RxBytes)
		v.add("networkTx", n.Interfaces[i].TxBytes)
	}
	return v
}

func (v values) add(metric string, value *uint64) {
	if value != nil {
		v[metric] += *value
	}
}

func (v values) used(metric string, fs *stats.FsStats) values {
	if fs != nil {
		v.set(metric, fs.UsedBytes)
	}
	return v
}
