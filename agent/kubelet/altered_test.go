package kubelet

import (
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

type values map[model.Metric]uint64

// 2026-11-21T03:14:44Z and :47Z, in Unix seconds.
const (
	at44 = 1795230884
	at47 = 1795230887
)

// TestDecodeAltered is about what no kubelet at hand answers: each case gives
// the body of the node, the pod or the container, what that entity is then,
// and the notes.
func TestDecodeAltered(t *testing.T) {
	for name, test := range map[string]struct {
		node, pod, container string // JSON members
		want                 values // of the one that is given; nil: no sample
		start                int64
		notes                []string
	}{
		"everything of a container": {
			container: `"startTime":"2026-11-21T03:14:44Z",
				"cpu":{"time":"2026-11-21T03:14:47.999999999Z","usageNanoCores":1,"usageCoreNanoSeconds":2,"psi":{"full":{"total":3,"avg10":99.5},"some":{"total":4}}},
				"memory":{"time":"2026-11-21T03:14:44Z","availableBytes":18446744073709551615,"usageBytes":5,"workingSetBytes":6,"rssBytes":7,"psi":{"full":{"total":8},"some":{"total":9}}},
				"io":{"psi":{"full":{"total":10},"some":{"total":11}}},"rootfs":{"time":null,"usedBytes":12},"logs":{"usedBytes":13},"swap":{"swapUsageBytes":14}`,
			start: at44,
			want: values{model.Measured: at47, model.CPU: 1, model.CPUTotal: 2, model.PSICPUFull: 3, model.PSICPUSome: 4, model.Usage: 5,
				model.WorkingSet: 6, model.RSS: 7, model.PSIMemoryFull: 8, model.PSIMemorySome: 9, model.PSIIOFull: 10, model.PSIIOSome: 11,
				model.RootFS: 12, model.Logs: 13, model.Swap: 14},
		},
		"zero is a value": {
			container: `"cpu":{"usageNanoCores":0},"memory":{"workingSetBytes":0}`,
			want:      values{model.CPU: 0, model.WorkingSet: 0},
		},
		"cpu absent: memory's time": {
			container: `"memory":{"time":"2026-11-21T03:14:44Z","rssBytes":1}`,
			want:      values{model.Measured: at44, model.RSS: 1},
		},
		"cpu null": {
			container: `"cpu":null,"memory":{"time":"2026-11-21T03:14:44Z","rssBytes":1}`,
			want:      values{model.Measured: at44, model.RSS: 1},
		},
		"times null, absent and of the year 1": {
			container: `"startTime":null,"cpu":{"time":"0001-01-01T00:00:00Z","usageNanoCores":1},"memory":{"time":null}`,
			want:      values{model.CPU: 1},
		},
		"times that are none": {
			container: `"startTime":"yesterday","cpu":{"time":12,"usageNanoCores":1},"memory":{"time":"1969-12-31T23:59:59Z"}`,
			want:      values{model.CPU: 1},
			notes: []string{"pod s/p container c: startTime is no time", "pod s/p container c: cpu.time is no time",
				"pod s/p container c: memory.time is no time"},
		},
		"time with an offset and an escape": {
			container: `"cpu":{"time":"2026-11-21\u005403:14:44Z","usageNanoCores":1},"startTime":"2026-11-21T04:14:47+01:00"`,
			start:     at47,
			want:      values{model.Measured: at44, model.CPU: 1},
		},
		"start in the future": {
			container: `"startTime":"2996-01-01T00:00:00Z","cpu":{"usageNanoCores":1}`,
			start:     32377449600,
			want:      values{model.CPU: 1},
		},
		"only times": {
			container: `"startTime":"2026-11-21T03:14:44Z","cpu":{"time":"2026-11-21T03:14:44Z"}`,
		},
		"underflows": {
			container: `"cpu":{"usageNanoCores":1000000000000001,"usageCoreNanoSeconds":18446744073709551615},"memory":{"workingSetBytes":18446744073709547520,"rssBytes":1152921504606846976},"logs":{"usedBytes":1152921504606846977}`,
			want:      values{model.CPUTotal: 1<<64 - 1, model.RSS: 1 << 60},
			notes: []string{"pod s/p container c: cpu.usageNanoCores is absurd: 1000000000000001",
				"pod s/p container c: memory.workingSetBytes is absurd: 18446744073709547520",
				"pod s/p container c: logs.usedBytes is absurd: 1152921504606846977"},
		},
		"numbers that are none": {
			container: `"cpu":{"usageNanoCores":"1","usageCoreNanoSeconds":-1},"memory":{"usageBytes":1.5,"workingSetBytes":1e400,"rssBytes":[7]},"swap":{"swapUsageBytes":18446744073709551616},"rootfs":{"usedBytes":{}},"logs":{"usedBytes":9}`,
			want:      values{model.Logs: 9},
			notes: []string{"pod s/p container c: cpu.usageNanoCores is no unsigned integer", "pod s/p container c: cpu.usageCoreNanoSeconds is no unsigned integer",
				"pod s/p container c: memory.usageBytes is no unsigned integer", "pod s/p container c: memory.workingSetBytes is no unsigned integer",
				"pod s/p container c: memory.rssBytes is no unsigned integer", "pod s/p container c: swap.swapUsageBytes is no unsigned integer",
				"pod s/p container c: rootfs.usedBytes is no unsigned integer"},
		},
		"null and unknown fields": {
			container: `"cpu":{"usageNanoCores":null,"usageCoreNanoSeconds":2,"usageLightYears":[{"a":1}]},"volumeHealthStats":{"abnormal":"who knows"}`,
			want:      values{model.CPUTotal: 2},
		},
		"another type for a whole part": {
			container: `"cpu":"busy","memory":{"rssBytes":1},"io":[1],"swap":{"swapUsageBytes":2}`,
			want:      values{model.RSS: 1, model.Swap: 2},
			notes:     []string{"pod s/p container c: cpu is a JSON string", "pod s/p container c: io is a JSON list"},
		},
		"pod with the default interface": {
			pod:  `"network":{"name":"eth0","rxBytes":1,"txBytes":2,"interfaces":[{"name":"eth0","rxBytes":1,"txBytes":2},{"name":"net1","rxBytes":50,"txBytes":60}]},"ephemeral-storage":{"usedBytes":3}`,
			want: values{model.NetworkRx: 1, model.NetworkTx: 2, model.Ephemeral: 3},
		},
		"pod with half the default interface": {
			pod:  `"network":{"name":"eth0","rxBytes":1,"interfaces":[{"name":"net1","rxBytes":50,"txBytes":60}]}`,
			want: values{model.NetworkRx: 1},
		},
		"pod without the default interface": {
			pod:  `"network":{"name":"","interfaces":[{"name":"lo","rxBytes":1000,"txBytes":1000},{"name":"ens3","rxBytes":50},{"name":"net1","rxBytes":5,"txBytes":60}]}`,
			want: values{model.NetworkRx: 55, model.NetworkTx: 60},
		},
		"interfaces without numbers": {
			pod:  `"cpu":{"usageNanoCores":1},"network":{"interfaces":[{"name":"ens3"},{"name":"lo","rxBytes":1}]}`,
			want: values{model.CPU: 1},
		},
		"interfaces that don't add up": {
			pod:  `"cpu":{"usageNanoCores":1},"network":{"interfaces":[{"name":"a","rxBytes":18446744073709551615,"txBytes":1},{"name":"b","rxBytes":1,"txBytes":"?"},{"name":"c","rxBytes":1,"txBytes":1}]}`,
			want: values{model.CPU: 1},
			notes: []string{"pod s/p: network.interfaces[].rxBytes is no unsigned integer",
				"pod s/p: network.interfaces[].txBytes is no unsigned integer"},
		},
		"node": {
			node:  `"startTime":"2026-11-21T03:14:44Z","fs":{"usedBytes":1},"network":{"interfaces":[{"name":"ens3","rxBytes":2,"txBytes":3}]},"swap":{"swapUsageBytes":4}`,
			start: at44,
			want:  values{model.RootFS: 1, model.NetworkRx: 2, model.NetworkTx: 3, model.Swap: 4},
		},
		"node with nonsense": {
			node:  `"cpu":{"usageNanoCores":-1,"usageCoreNanoSeconds":5},"memory":7`,
			want:  values{model.CPUTotal: 5},
			notes: []string{"node: cpu.usageNanoCores is no unsigned integer", "node: memory is a JSON number"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pods := ""
			var pod model.PodRef
			container := ""
			if test.node == "" {
				pod = model.PodRef{Namespace: "s", Name: "p", UID: "u"}
				pods = `{"podRef":{"namespace":"s","name":"p","uid":"u"}`
				if test.pod != "" {
					pods += "," + test.pod
				}
				if test.container != "" {
					container = "c"
					pods += `,"containers":[{"name":"c",` + test.container + `}]`
				}
				pods += "}"
			}
			scrape, skipped, err := Decode([]byte(`{"pods":[` + pods + `],"node":{` + test.node + `}}`))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(skipped, test.notes) {
				t.Errorf("notes:\n %s\nwant:\n %s", strings.Join(skipped, "\n "), strings.Join(test.notes, "\n "))
			}
			checkOnly(t, scrape, pod, container, test.start, test.want)
		})
	}
}

// checkOnly wants one entity in the scrape, or none.
func checkOnly(t *testing.T, scrape model.Scrape, pod model.PodRef, container string, start int64, want values) {
	t.Helper()
	if want == nil {
		if len(scrape.Groups) > 0 {
			t.Errorf("got %v, want nothing", scrape.Groups)
		}
		return
	}
	if len(scrape.Groups) != 1 || scrape.Groups[0].Pod != pod || len(scrape.Groups[0].Samples) != 1 {
		t.Fatalf("got %v, want one sample of %v", scrape.Groups, pod)
	}
	sample := scrape.Groups[0].Samples[0]
	if sample.Name != container || sample.Start != start {
		t.Errorf("sample of %q started %d, want %q and %d", sample.Name, sample.Start, container, start)
	}
	for m := range model.NumMetrics {
		got, ok := sample.Get(m)
		expected, wanted := want[m]
		if got != expected || ok != wanted {
			t.Errorf("%v is %d (%v), want %d (%v)", m, got, ok, expected, wanted)
		}
	}
}
