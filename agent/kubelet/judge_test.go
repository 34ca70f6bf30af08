package kubelet

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// The judge says what a document means by Kubernetes' own types and the rules
// in Decode's comments, with none of Decode's code.

type judgedEntity struct {
	start  int64
	values map[model.Metric]uint64
}

// A verdict holds entities by "node", `pod "NAMESPACE" "NAME" "UID"` and
// `pod "NAMESPACE" "NAME" "UID" container "NAME"`.
type verdict map[string]judgedEntity

func judge(body []byte) (verdict, error) {
	var summary statsapi.Summary
	if err := json.Unmarshal(body, &summary); err != nil {
		return nil, err
	}
	v := verdict{}
	node := &summary.Node
	e := judgeCommon(node.StartTime, node.CPU, node.Memory, node.IO, node.Swap)
	e.network(node.Network)
	e.bytes(model.RootFS, usedBytes(node.Fs))
	v.put("node", e)

	newest := map[string]int64{}
	for i := range summary.Pods {
		pod := &summary.Pods[i]
		ref := pod.PodRef
		if !judgeName(ref.Namespace) || !judgeName(ref.Name) || !judgeName(ref.UID) {
			continue
		}
		key := fmt.Sprintf("pod %q %q %q", ref.Namespace, ref.Name, ref.UID)
		start := judgeTime(pod.StartTime)
		if before, again := newest[key]; again {
			if start <= before {
				continue
			}
			maps.DeleteFunc(v, func(k string, _ judgedEntity) bool {
				return k == key || strings.HasPrefix(k, key+" container ")
			})
		}
		newest[key] = start
		e := judgeCommon(pod.StartTime, pod.CPU, pod.Memory, pod.IO, pod.Swap)
		e.network(pod.Network)
		e.bytes(model.Ephemeral, usedBytes(pod.EphemeralStorage))
		v.put(key, e)
		v.putContainers(key, pod.Containers)
	}
	return v, nil
}

func (v verdict) putContainers(pod string, containers []statsapi.ContainerStats) {
	newest := map[string]int64{}
	for i := range containers {
		c := &containers[i]
		start := judgeTime(c.StartTime)
		if before, again := newest[c.Name]; !judgeName(c.Name) || again && start <= before {
			continue
		}
		newest[c.Name] = start
		key := fmt.Sprintf("%s container %q", pod, c.Name)
		e := judgeCommon(c.StartTime, c.CPU, c.Memory, c.IO, c.Swap)
		e.bytes(model.RootFS, usedBytes(c.Rootfs))
		e.bytes(model.Logs, usedBytes(c.Logs))
		delete(v, key)
		v.put(key, e)
	}
}

func (v verdict) put(key string, e judgedEntity) {
	for m := range e.values {
		if m != model.Measured {
			v[key] = e
			return
		}
	}
}

func judgeCommon(start metav1.Time, cpu *statsapi.CPUStats, memory *statsapi.MemoryStats, io *statsapi.IOStats, swap *statsapi.SwapStats) judgedEntity {
	e := judgedEntity{start: judgeTime(start), values: map[model.Metric]uint64{}}
	if memory != nil {
		e.measured(memory.Time)
		e.bytes(model.WorkingSet, memory.WorkingSetBytes)
		e.bytes(model.Usage, memory.UsageBytes)
		e.bytes(model.RSS, memory.RSSBytes)
		e.psi(model.PSIMemorySome, model.PSIMemoryFull, memory.PSI)
	}
	if cpu != nil {
		e.measured(cpu.Time)
		e.number(model.CPU, cpu.UsageNanoCores, 1e15)
		e.number(model.CPUTotal, cpu.UsageCoreNanoSeconds, 1<<64-1)
		e.psi(model.PSICPUSome, model.PSICPUFull, cpu.PSI)
	}
	if io != nil {
		e.psi(model.PSIIOSome, model.PSIIOFull, io.PSI)
	}
	if swap != nil {
		e.bytes(model.Swap, swap.SwapUsageBytes)
	}
	return e
}

func (e *judgedEntity) number(m model.Metric, x *uint64, limit uint64) {
	if x != nil && *x <= limit {
		e.values[m] = *x
	}
}

func (e *judgedEntity) bytes(m model.Metric, x *uint64) { e.number(m, x, 1<<60) }

func (e *judgedEntity) measured(t metav1.Time) {
	if !t.IsZero() && t.Unix() >= 0 {
		e.values[model.Measured] = uint64(t.Unix())
	}
}

func (e *judgedEntity) psi(some, full model.Metric, psi *statsapi.PSIStats) {
	if psi != nil {
		e.values[some], e.values[full] = psi.Some.Total, psi.Full.Total
	}
}

func (e *judgedEntity) network(n *statsapi.NetworkStats) {
	switch {
	case n == nil:
	case n.RxBytes != nil || n.TxBytes != nil:
		e.number(model.NetworkRx, n.RxBytes, 1<<64-1)
		e.number(model.NetworkTx, n.TxBytes, 1<<64-1)
	default:
		for _, m := range []model.Metric{model.NetworkRx, model.NetworkTx} {
			e.sum(m, n.Interfaces)
		}
	}
}

func (e *judgedEntity) sum(m model.Metric, interfaces []statsapi.InterfaceStats) {
	var sum uint64
	reported := false
	for _, i := range interfaces {
		x := i.RxBytes
		if m == model.NetworkTx {
			x = i.TxBytes
		}
		if i.Name == "lo" || x == nil {
			continue
		}
		if sum+*x < sum {
			return
		}
		sum, reported = sum+*x, true
	}
	if reported {
		e.values[m] = sum
	}
}

func usedBytes(fs *statsapi.FsStats) *uint64 {
	if fs == nil {
		return nil
	}
	return fs.UsedBytes
}

func judgeTime(t metav1.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(0, t.Unix())
}

func judgeName(name string) bool {
	return name != "" && len(name) <= 253 && !strings.ContainsFunc(name, func(r rune) bool { return r == '/' || unicode.IsControl(r) })
}

// flatten brings what Decode said into the judge's form, and checks the order
// that a Scrape promises.
func flatten(t *testing.T, scrape model.Scrape) verdict {
	t.Helper()
	v := verdict{}
	for g, group := range scrape.Groups {
		if g > 0 && scrape.Groups[g-1].Pod.Compare(group.Pod) >= 0 {
			t.Errorf("groups %v and %v are out of order", scrape.Groups[g-1].Pod, group.Pod)
		}
		if len(group.Samples) == 0 {
			t.Errorf("group %v is empty", group.Pod)
		}
		key := "node"
		if group.Pod != (model.PodRef{}) {
			key = fmt.Sprintf("pod %q %q %q", group.Pod.Namespace, group.Pod.Name, group.Pod.UID)
		}
		for i, sample := range group.Samples {
			if i > 0 && group.Samples[i-1].Name >= sample.Name {
				t.Errorf("%s: samples %q and %q are out of order", key, group.Samples[i-1].Name, sample.Name)
			}
			name := key
			if sample.Name != "" {
				name = fmt.Sprintf("%s container %q", key, sample.Name)
			}
			e := judgedEntity{start: sample.Start, values: map[model.Metric]uint64{}}
			for m := range model.NumMetrics {
				if x, ok := sample.Get(m); ok {
					e.values[m] = x
				}
			}
			v[name] = e
		}
	}
	return v
}

// compare reports every difference. With lenientPSI a total that the document
// lacks may be absent: Kubernetes' types can only say 0.
func compare(t *testing.T, got, want verdict, lenientPSI bool) {
	t.Helper()
	keys := slices.Collect(maps.Keys(got))
	keys = slices.AppendSeq(keys, maps.Keys(want))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		g, inGot := got[key]
		w, inWant := want[key]
		if lenientPSI {
			for m, x := range w.values {
				if _, ok := g.values[m]; !ok && x == 0 && m >= model.PSICPUSome {
					delete(w.values, m)
				}
			}
			_, timed := w.values[model.Measured]
			inWant = len(w.values) > 1 || len(w.values) == 1 && !timed
		}
		if inGot != inWant {
			t.Errorf("%s: decoded %v, judge says %v", key, inGot, inWant)
			continue
		}
		if inGot && (g.start != w.start || !maps.Equal(g.values, w.values)) {
			t.Errorf("%s:\n decoded start %d %v\n judged  start %d %v", key, g.start, g.values, w.start, w.values)
		}
	}
}
