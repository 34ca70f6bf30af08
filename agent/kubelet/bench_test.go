package kubelet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// The most that Kubernetes plans for on one node, and a usual number of
// containers for that.
const fullPods, fullContainers = 110, 200

// BenchmarkDecode decodes a full answer of a full node, as the kubelet writes
// it (indented) and without white space, and has encoding/json read the same
// into Kubernetes' own types, as a client of the kubelet usually does.
func BenchmarkDecode(b *testing.B) {
	for _, form := range []string{"indented", "compact"} {
		body := fullNode(b, form == "indented")
		run := func(name string, decode func() error) {
			b.Run(form+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				before := cpuTime(b)
				for b.Loop() {
					if err := decode(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric((cpuTime(b)-before).Seconds()*1e3/float64(b.N), "cpu-ms/op")
			})
		}
		run("Decode", func() error {
			_, _, err := Decode(body)
			return err
		})
		run("json", func() error {
			var summary statsapi.Summary
			return json.Unmarshal(body, &summary)
		})
	}
}

// cpuTime is what this process has used, garbage collection included.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func TestDecodeAllocations(t *testing.T) {
	body := fullNode(t, true)
	scrape, skipped, err := Decode(body)
	if err != nil || len(skipped) > 0 || scrape.Entities() != 1+fullPods+fullContainers {
		t.Fatalf("%d entities, skipped %q, error %v", scrape.Entities(), skipped, err)
	}
	allocations := testing.AllocsPerRun(10, func() { _, _, _ = Decode(body) })
	t.Logf("%.0f allocations for %d bytes", allocations, len(body))
	if allocations > 500 {
		t.Errorf("%.0f allocations, want at most 500", allocations)
	}
}

// fullNode is a recorded answer with its pods and containers repeated, under
// other names, until there are as many as on a full node.
func fullNode(t testing.TB, indented bool) []byte {
	t.Helper()
	var summary statsapi.Summary
	if err := json.Unmarshal(recordedFull(t)[0], &summary); err != nil {
		t.Fatal(err)
	}
	recorded := summary.Pods
	summary.Pods = nil
	missing := fullContainers
	for i := range fullPods {
		pod := recorded[i%len(recorded)]
		pod.PodRef.Name = fmt.Sprintf("%s-%d", pod.PodRef.Name, i/len(recorded))
		summary.Pods = append(summary.Pods, pod)
		missing -= len(pod.Containers)
	}
	for i := range missing {
		pod := &summary.Pods[i]
		another := pod.Containers[0]
		another.Name += "-again"
		pod.Containers = append(slices.Clone(pod.Containers), another)
	}
	body, err := json.Marshal(summary)
	if err != nil {
		t.Fatal(err)
	}
	if indented {
		var lines bytes.Buffer
		if err := json.Indent(&lines, body, "", " "); err != nil {
			t.Fatal(err)
		}
		return lines.Bytes()
	}
	return body
}
