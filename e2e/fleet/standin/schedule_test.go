package standin

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// TestScheduleWithin80Slots looks at the answers as a reader would: which pods
// and containers are there, and since when.
func TestScheduleWithin80Slots(t *testing.T) {
	for seed := range int64(5) {
		for _, pods := range []int{8, 55} {
			t.Run(fmt.Sprintf("seed %d, %d pods", seed, pods), func(t *testing.T) {
				k := newKubelet(t, func(c *Config) { c.Seed, c.Pods = seed, pods })
				first := k.turnAt(noon)
				seen := map[string]bool{}
				starts, uids, lastSeen := map[string]int64{}, map[string]string{}, map[string]int64{}
				for turn := first; turn < first+80; turn++ {
					doc := k.stage.document(turn, full)
					for _, p := range doc.Pods {
						ref := p.PodRef
						if turn > first && lastSeen[ref.UID] == 0 {
							seen["pod is new"] = true
						}
						if last := lastSeen[ref.UID]; last != 0 && last < turn-1 {
							seen["pod was missing"] = true
						}
						if old := uids[ref.Name]; old != "" && old != ref.UID {
							seen["pod has another UID"] = strings.HasSuffix(ref.Name, "-0")
						}
						lastSeen[ref.UID], uids[ref.Name] = turn, ref.UID
						seen["pod without cpu and memory"] = seen["pod without cpu and memory"] || p.CPU == nil && p.Memory == nil
						seen["pod network"] = seen["pod network"] || p.Network != nil && p.Network.Name == "eth0"
						seen["pod network without default"] = seen["pod network without default"] || p.Network != nil && p.Network.RxBytes == nil
						for _, c := range p.Containers {
							id := ref.UID + "/" + c.Name
							if old, ok := starts[id]; ok && old != c.StartTime.Unix() {
								seen["container restarted"] = true
								if lag := k.stage.reel.slot(turn) - c.StartTime.Unix(); lag < 0 || lag >= 15 || *c.CPU.UsageCoreNanoSeconds > 60e9 {
									t.Errorf("%s restarted %d s before the slot, and has spent %d ns", id, lag, *c.CPU.UsageCoreNanoSeconds)
								}
								if c.CPU.UsageNanoCores != nil && *c.CPU.UsageNanoCores != 0 {
									t.Errorf("%s restarted, and its cpu is known at once: %d", id, *c.CPU.UsageNanoCores)
								}
							}
							starts[id] = c.StartTime.Unix()
							seen["rss is absent"] = seen["rss is absent"] || c.Memory.RSSBytes == nil
							if !c.Rootfs.Time.IsZero() && c.Rootfs.Time.Before(&c.StartTime) || c.StartTime.Before(&p.StartTime) {
								t.Errorf("%s: pod, container, rootfs at %v, %v, %v", id, p.StartTime, c.StartTime, c.Rootfs.Time)
							}
						}
					}
				}
				for _, event := range []string{"pod is new", "pod was missing", "pod has another UID", "container restarted",
					"pod without cpu and memory", "pod network", "pod network without default", "rss is absent"} {
					if !seen[event] {
						t.Errorf("not seen in 80 slots: %s", event)
					}
				}
			})
		}
	}
}

// TestStoryHolds follows all entities through the end of the loop, at several
// resolutions: what only grows only grows, and one measurement has one value.
func TestStoryHolds(t *testing.T) {
	counters := strings.Fields("measured cpuTotal networkRx networkTx psiCpuSome psiCpuFull psiMemorySome psiMemoryFull psiIoSome psiIoFull")
	for name, c := range map[string]struct {
		resolution  time.Duration
		turns, step int64
	}{
		"two loops of 15 s": {15 * time.Second, 400, 1},
		"two loops of 1 s":  {time.Second, 400, 1},
		"two loops of 60 s": {time.Minute, 400, 1},
		"three days":        {15 * time.Second, 3 * 5760, 97},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKubelet(t, func(cfg *Config) { cfg.Resolution = c.resolution; cfg.Pods = 30 })
			before, metrics := map[string]values{}, map[string]bool{}
			first := k.turnAt(noon)
			for turn := first; turn < first+c.turns; turn += c.step {
				for _, e := range entitiesOf(k.stage.document(turn, full)) {
					id := fmt.Sprint(e.UID, " ", e.Container, " ", e.Start)
					old := before[id]
					for _, m := range counters {
						if e.Values[m] < old[m] {
							t.Fatalf("%s %s, turn %d: %s fell from %d to %d", e.Pod, id, turn, m, old[m], e.Values[m])
						}
					}
					if at, ok := e.Values["measured"]; ok {
						if at < uint64(e.Start) {
							t.Fatalf("%s %s was measured %d s before it started", e.Pod, id, uint64(e.Start)-at)
						}
						if at == old["measured"] && !maps.Equal(measurement(e.Values), measurement(old)) {
							t.Fatalf("%s %s, turn %d: one measurement, two values: %v, %v", e.Pod, id, turn, old, e.Values)
						}
					}
					before[id] = e.Values
					for m, v := range e.Values {
						metrics[m] = metrics[m] || v != 0
					}
				}
			}
			if len(metrics) != 18 {
				t.Errorf("%d metrics seen, want 18: %v", len(metrics), metrics)
			}
			for m, ok := range metrics {
				if !ok && m != "swap" { // as recorded
					t.Errorf("%s is always 0", m)
				}
			}
		})
	}
}

// measurement is what the kubelet measures at the time "measured"; file systems
// have times of their own.
func measurement(v values) values {
	v = maps.Clone(v)
	for _, m := range []string{"rootfs", "logs", "ephemeral"} {
		delete(v, m)
	}
	return v
}
