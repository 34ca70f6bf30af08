package kubelet

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// TestContract alters a recorded answer in the ways that kubelets are known
// to differ, and says what becomes of the container that it is about, or of
// its pod or node. All else stays what Kubernetes' own types say.
func TestContract(t *testing.T) {
	type document struct {
		node *statsapi.NodeStats
		pod  *statsapi.PodStats
		c    *statsapi.ContainerStats
		all  *statsapi.Summary
	}
	const (
		ofNode = iota
		ofPod
		ofContainer
	)
	number := func(n uint64) *uint64 { return &n }
	later := func(at metav1.Time, seconds int) metav1.Time {
		return metav1.NewTime(at.Add(time.Duration(seconds) * time.Second))
	}
	gone := values{} // no value of these is expected: absent has them
	for name, test := range map[string]struct {
		alter    func(d document)
		of       int
		want     values
		absent   []model.Metric
		entities int // more or fewer than recorded
		noted    string
	}{
		"usageNanoCores nil: only the counter": {func(d document) { d.c.CPU.UsageNanoCores = nil }, ofContainer, gone, []model.Metric{model.CPU}, 0, ""},
		"usageNanoCores 0 stays 0":             {func(d document) { d.c.CPU.UsageNanoCores = number(0) }, ofContainer, values{model.CPU: 0}, nil, 0, ""},
		"counter nil":                          {func(d document) { d.c.CPU.UsageCoreNanoSeconds = nil }, ofContainer, gone, []model.Metric{model.CPUTotal}, 0, ""},
		"counter starts again":                 {func(d document) { d.c.CPU.UsageCoreNanoSeconds = number(7) }, ofContainer, values{model.CPUTotal: 7}, nil, 0, ""},
		"counter about to wrap":                {func(d document) { d.c.CPU.UsageCoreNanoSeconds = number(1<<64 - 1) }, ofContainer, values{model.CPUTotal: 1<<64 - 1}, nil, 0, ""},
		"working set absent":                   {func(d document) { d.c.Memory.WorkingSetBytes = nil }, ofContainer, gone, []model.Metric{model.WorkingSet}, 0, ""},
		"rss absent":                           {func(d document) { d.c.Memory.RSSBytes = nil }, ofContainer, gone, []model.Metric{model.RSS}, 0, ""},
		"availableBytes absent: no limit":      {func(d document) { d.c.Memory.AvailableBytes = nil }, ofContainer, gone, nil, 0, ""},
		"availableBytes underflows: not read":  {func(d document) { d.c.Memory.AvailableBytes = number(1<<64 - 4096) }, ofContainer, gone, nil, 0, ""},
		"working set underflows":               {func(d document) { d.c.Memory.WorkingSetBytes = number(1<<64 - 4096) }, ofContainer, gone, []model.Metric{model.WorkingSet}, 0, "memory.workingSetBytes is absurd: 18446744073709547520"},
		"container's cpu absent":               {func(d document) { d.c.CPU = nil }, ofContainer, values{model.Measured: 1795230887}, []model.Metric{model.CPU, model.CPUTotal}, 0, ""},
		"container's memory absent":            {func(d document) { d.c.Memory = nil }, ofContainer, gone, []model.Metric{model.WorkingSet, model.Usage, model.RSS}, 0, ""},
		"one time per stat: cpu's counts":      {func(d document) { d.c.Memory.Time = later(d.c.CPU.Time, -20) }, ofContainer, values{model.Measured: 1795230887}, nil, 0, ""},
		"no cpu time":                          {func(d document) { d.c.CPU.Time = metav1.Time{}; d.c.Memory.Time = later(d.c.Memory.Time, -20) }, ofContainer, values{model.Measured: 1795230867}, nil, 0, ""},
		"pod and container differ in time":     {func(d document) { d.pod.CPU.Time = later(d.c.CPU.Time, -30) }, ofPod, values{model.Measured: 1795230857}, nil, 0, ""},
		"rootfs.time null":                     {func(d document) { d.c.Rootfs.Time = metav1.Time{} }, ofContainer, values{model.RootFS: 6324224}, nil, 0, ""},
		"pod's own cpu absent":                 {func(d document) { d.pod.CPU = nil }, ofPod, gone, []model.Metric{model.CPU, model.CPUTotal}, 0, ""},
		"pod's own stats absent": {func(d document) {
			d.pod.CPU, d.pod.Memory, d.pod.IO, d.pod.Swap, d.pod.EphemeralStorage = nil, nil, nil, nil, nil
		}, ofContainer, gone, nil, -1, ""},
		"pod without running containers: absent": {func(d document) { d.all.Pods = d.all.Pods[1:] }, ofNode, gone, nil, -2, ""},
		"no containers yet":                      {func(d document) { d.pod.Containers = nil }, ofPod, gone, nil, -1, ""},
		"no pods":                                {func(d document) { d.all.Pods = nil }, ofNode, gone, nil, -132, ""},
		"static pod: a hash as UID":              {func(d document) { d.pod.PodRef.UID = "3b1a7c9f2d4e5f60718293a4b5c6d7e8" }, ofContainer, gone, nil, 0, ""},
		"container listed twice": {func(d document) {
			again := *d.c
			again.StartTime = later(d.c.StartTime, 5)
			again.CPU = &statsapi.CPUStats{UsageNanoCores: number(1)}
			again.Memory = nil
			d.pod.Containers = append(d.pod.Containers, again)
		}, ofContainer, values{model.CPU: 1}, []model.Metric{model.CPUTotal, model.Measured, model.RSS}, 0, ""},
		"pod listed twice": {func(d document) {
			again := *d.pod
			again.StartTime = later(d.pod.StartTime, -5)
			again.Containers = nil
			d.all.Pods = append(d.all.Pods, again)
		}, ofContainer, gone, nil, 0, "listed more than once"},
		"network absent":      {func(d document) { d.node.Network = nil }, ofNode, gone, []model.Metric{model.NetworkRx, model.NetworkTx}, 0, ""},
		"eth0 is the default": {func(d document) {}, ofNode, values{model.NetworkRx: 239521795, model.NetworkTx: 1208608}, nil, 0, ""},
		"no eth0: the sum of all interfaces": {func(d document) { d.node.Network.InterfaceStats = statsapi.InterfaceStats{} }, ofNode,
			values{model.NetworkRx: 239521795 + 703371 + 586900 + 81351 + 63620, model.NetworkTx: 1208608 + 3073828 + 2550444 + 300372 + 199411}, nil, 0, ""},
		"pod's network": {func(d document) {
			d.pod.Network = &statsapi.NetworkStats{InterfaceStats: statsapi.InterfaceStats{Name: "eth0", RxBytes: number(5), TxBytes: number(6)}}
		}, ofPod, values{model.NetworkRx: 5, model.NetworkTx: 6}, nil, 0, ""},
		"PSI": {func(d document) {
			d.c.CPU.PSI = &statsapi.PSIStats{Some: statsapi.PSIData{Total: 3, Avg10: 99.97}, Full: statsapi.PSIData{Total: 2}}
			d.c.Memory.PSI = &statsapi.PSIStats{Some: statsapi.PSIData{Total: 5}}
			d.c.IO.PSI = &statsapi.PSIStats{Full: statsapi.PSIData{Total: 1 << 63}}
		}, ofContainer, values{model.PSICPUSome: 3, model.PSICPUFull: 2, model.PSIMemorySome: 5, model.PSIMemoryFull: 0, model.PSIIOSome: 0, model.PSIIOFull: 1 << 63}, nil, 0, ""},
		"no PSI: cgroup v1": {func(d document) { d.node.CPU.PSI, d.node.Memory.PSI, d.node.IO = nil, nil, nil }, ofNode, gone, []model.Metric{model.PSICPUSome, model.PSIMemoryFull, model.PSIIOFull}, 0, ""},
		"no swap":           {func(d document) { d.c.Swap = nil }, ofContainer, gone, []model.Metric{model.Swap}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var recorded, altered statsapi.Summary
			for _, s := range []*statsapi.Summary{&recorded, &altered} {
				if err := json.Unmarshal(recordedFull(t)[0], s); err != nil {
					t.Fatal(err)
				}
			}
			pod := &altered.Pods[0]
			d := document{&altered.Node, pod, &pod.Containers[0], &altered}
			keyOf := func(pod *statsapi.PodStats) string {
				return [...]string{
					"node",
					fmt.Sprintf("pod %q %q %q", pod.PodRef.Namespace, pod.PodRef.Name, pod.PodRef.UID),
					fmt.Sprintf("pod %q %q %q container %q", pod.PodRef.Namespace, pod.PodRef.Name, pod.PodRef.UID, recorded.Pods[0].Containers[0].Name),
				}[test.of]
			}
			before := decodedAs(t, &recorded, "")[keyOf(&recorded.Pods[0])]
			test.alter(d)
			all := decodedAs(t, &altered, test.noted)
			after, ok := all[keyOf(pod)]
			if !ok || len(all) != 133+test.entities {
				t.Fatalf("%d entities, it is there: %v", len(all), ok)
			}
			if len(test.want) == 0 && len(test.absent) == 0 && !reflect.DeepEqual(before.values, after.values) {
				t.Errorf("it was %v and is %v", before.values, after.values)
			}
			for m, want := range test.want {
				if got, ok := after.values[m]; got != want || !ok {
					t.Errorf("%v is %d (%v), want %d", m, got, ok, want)
				}
			}
			for _, m := range test.absent {
				if got, ok := after.values[m]; ok {
					t.Errorf("%v is %d, not absent", m, got)
				}
			}
		})
	}
}

// decodedAs decodes a document, and checks against the judge.
func decodedAs(t *testing.T, summary *statsapi.Summary, noted string) verdict {
	t.Helper()
	body, err := json.Marshal(summary)
	if err != nil {
		t.Fatal(err)
	}
	scrape, skipped, err := Decode(body)
	if err != nil || (noted == "") != (len(skipped) == 0) || !strings.Contains(strings.Join(skipped, "\n"), noted) {
		t.Fatalf("notes %q, want %q; error %v", skipped, noted, err)
	}
	want, err := judge(body)
	if err != nil {
		t.Fatal(err)
	}
	got := flatten(t, scrape)
	compare(t, got, want, false)
	return got
}

// TestLightForm: what the light form leaves out is absent, not 0.
func TestLightForm(t *testing.T) {
	scrape, _, err := Decode(recordedLight(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range scrape.Groups {
		for i := range g.Samples {
			s := &g.Samples[i]
			for _, m := range []model.Metric{model.CPU, model.CPUTotal, model.WorkingSet, model.Swap} {
				if !s.Has(m) {
					t.Errorf("%v %q has no %v", g.Pod, s.Name, m)
				}
			}
			for _, m := range []model.Metric{model.NetworkRx, model.NetworkTx, model.RootFS, model.Logs, model.Ephemeral, model.PSIIOSome, model.PSIIOFull} {
				if s.Has(m) {
					t.Errorf("%v %q has %v", g.Pod, s.Name, m)
				}
			}
		}
	}
}

// TestOrderOfPods: it changes from answer to answer, and means nothing.
func TestOrderOfPods(t *testing.T) {
	var summary statsapi.Summary
	if err := json.Unmarshal(recordedFull(t)[0], &summary); err != nil {
		t.Fatal(err)
	}
	want := decodedAs(t, &summary, "")
	random := rand.New(rand.NewPCG(1, 1))
	random.Shuffle(len(summary.Pods), reflect.Swapper(summary.Pods))
	if got := decodedAs(t, &summary, ""); !reflect.DeepEqual(got, want) {
		t.Error("another order of the pods, another scrape")
	}
}

// TestAnyFieldMissing: whatever single field is missing, null or of another
// type, and whatever is added that nobody knows, costs at most the entity
// that it belongs to, and never the answer.
func TestAnyFieldMissing(t *testing.T) {
	var document map[string]any
	if err := json.Unmarshal([]byte(wholeDocument), &document); err != nil {
		t.Fatal(err)
	}
	// One pod that is altered, and one that must not suffer.
	document["pods"] = []any{document["pods"].([]any)[0], map[string]any{
		"podRef": map[string]any{"namespace": "other", "name": "other", "uid": "other"}, "cpu": map[string]any{"usageNanoCores": 1},
	}}
	tried := 0
	try := func(path string, entities int) {
		tried++
		body, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		scrape, _, err := Decode(body)
		if strings.HasPrefix(path, ".node ") {
			return // without a node it is not the Summary API
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		unhurt := slices.ContainsFunc(scrape.Groups, func(g model.Group) bool { return g.Pod.Name == "other" && g.Samples[0].Has(model.CPU) })
		if !unhurt && !strings.HasPrefix(path, ".pods ") || scrape.Entities() < entities {
			t.Errorf("%s: %d entities are left", path, scrape.Entities())
		}
	}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for name, before := range value {
				at := path + "." + name
				delete(value, name)
				try(at+" missing", 1)
				for _, other := range []any{nil, "x", -1, 1.5, true, []any{}, []any{1, "x", nil}, map[string]any{}, map[string]any{"x": 1}} {
					value[name] = other
					try(fmt.Sprintf("%s = %v", at, other), 1)
				}
				value[name] = before
				walk(at, before)
			}
			value["volumeHealthStats"] = map[string]any{"abnormal": []any{map[string]any{}}}
			try(path+" with more", 5)
			delete(value, "volumeHealthStats")
		case []any:
			if len(value) > 0 {
				walk(path+"[0]", value[0])
			}
		}
	}
	try("unaltered", 5)
	walk("", document)
	if tried < 500 {
		t.Errorf("only %d documents", tried)
	}
}
