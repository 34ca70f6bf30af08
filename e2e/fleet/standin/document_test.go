package standin

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

func mustBody(t *testing.T, k *Kubelet, turn int64, f form) []byte {
	t.Helper()
	b, err := k.body(turn, f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDocumentIsAFunctionOfItsSlot(t *testing.T) {
	a, b := newKubelet(t, nil), newKubelet(t, nil)
	now := a.turnAt(noon)
	// b is asked in another order, and about other slots too.
	later := mustBody(t, b, now+200, full)
	mustBody(t, b, now-5, light)
	if !bytes.Equal(mustBody(t, a, now, full), mustBody(t, b, now, full)) {
		t.Error("two kubelets of the same configuration answer differently")
	}
	if !bytes.Equal(later, mustBody(t, b, now+200, full)) {
		t.Error("one kubelet answers differently the second time")
	}
	for name, change := range map[string]func(*Config){
		"seed": func(c *Config) { c.Seed = 2 },
		"node": func(c *Config) { c.Node = "node-2" },
		"pods": func(c *Config) { c.Pods = 54 },
	} {
		if bytes.Equal(mustBody(t, a, now, full), mustBody(t, newKubelet(t, change), now, full)) {
			t.Errorf("another %s, the same answer", name)
		}
	}
}

func TestPods(t *testing.T) {
	for name, c := range map[string]struct{ asked, want int }{
		"as recorded": {0, 55},
		"one":         {1, 1},
		"few":         {5, 5},
		"twice":       {110, 110},
		"many":        {600, 600},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKubelet(t, func(cfg *Config) { cfg.Pods = c.asked })
			most, namespaces := 0, map[string]bool{}
			for turn := k.turnAt(noon); turn < k.turnAt(noon)+20; turn++ {
				doc := k.stage.document(turn, light)
				uids, names := map[string]bool{}, map[string]bool{}
				for _, p := range doc.Pods {
					uids[p.PodRef.UID] = true
					names[p.PodRef.Namespace+"/"+p.PodRef.Name] = true
					namespaces[p.PodRef.Namespace] = true
				}
				if len(uids) != len(doc.Pods) || len(names) != len(doc.Pods) {
					t.Fatalf("%d pods have %d UIDs and %d names", len(doc.Pods), len(uids), len(names))
				}
				// A few may be missing for a while: 1 in 24, and one for sure.
				if fewest := c.want - 2 - c.want/8; len(doc.Pods) < fewest || len(doc.Pods) > c.want {
					t.Fatalf("%d pods, want %d to %d", len(doc.Pods), fewest, c.want)
				}
				most = max(most, len(doc.Pods))
			}
			if c.asked < 100 && most != c.want {
				t.Errorf("never more than %d pods, want %d", most, c.want)
			}
			if c.want >= 55 && len(namespaces) != 3 {
				t.Errorf("namespaces %v, want shop, batch and infra", namespaces)
			}
		})
	}
}

func TestPodsOfNodesDiffer(t *testing.T) {
	seen := map[string]string{}
	for n := range 20 {
		node := fmt.Sprint("node-", n)
		k := newKubelet(t, func(c *Config) { c.Node = node })
		for _, p := range k.stage.document(k.turnAt(noon), light).Pods {
			for _, id := range []string{p.PodRef.UID, p.PodRef.Namespace + "/" + p.PodRef.Name} {
				if other, ok := seen[id]; ok {
					t.Errorf("%s is on %s and on %s", id, other, node)
				}
				seen[id] = node
			}
		}
	}
}

func TestReplicasDiffer(t *testing.T) {
	k := newKubelet(t, func(c *Config) { c.Pods = 165 }) // each recorded pod three times
	doc := k.stage.document(k.turnAt(noon), light)
	amounts := map[uint64]bool{}
	for _, p := range doc.Pods {
		for _, c := range p.Containers {
			amounts[*c.CPU.UsageCoreNanoSeconds] = true
		}
	}
	if len(amounts) < 2*len(doc.Pods)/3 {
		t.Errorf("%d pods show only %d different totals", len(doc.Pods), len(amounts))
	}
}

func TestOrderOfPodsChanges(t *testing.T) {
	k := newKubelet(t, nil)
	order := func(turn int64) (names string) {
		for _, p := range k.stage.document(turn, light).Pods {
			names += p.PodRef.Name[:4] + " "
		}
		return names
	}
	if now := k.turnAt(noon); order(now) == order(now+1) {
		t.Errorf("two answers have the pods in the same order: %s", order(now))
	}
}

func TestMemoryIsInWholePages(t *testing.T) {
	k := newKubelet(t, nil)
	check := func(what string, m *stats.MemoryStats) {
		if m == nil {
			return
		}
		usage, set := *m.UsageBytes, *m.WorkingSetBytes
		if usage%pageBytes != 0 || set%pageBytes != 0 || orZero(m.RSSBytes)%pageBytes != 0 || usage == 0 || set > usage || orZero(m.RSSBytes) > usage {
			t.Errorf("%s: usage %d, working set %d, rss %d", what, usage, set, orZero(m.RSSBytes))
		}
	}
	for turn := k.turnAt(noon); turn < k.turnAt(noon)+180; turn += 9 {
		doc := k.stage.document(turn, full)
		check("node", doc.Node.Memory)
		check("pods", doc.Node.SystemContainers[0].Memory)
		for _, p := range doc.Pods {
			check(p.PodRef.Name, p.Memory)
			for _, c := range p.Containers {
				check(p.PodRef.Name+"/"+c.Name, c.Memory)
			}
		}
	}
}

func TestLagsAreAsRecorded(t *testing.T) {
	k := newKubelet(t, nil)
	answers := k.stage.reel.trace.node.answers
	for turn := k.turnAt(noon); turn < k.turnAt(noon)+180; turn++ {
		doc := k.stage.document(turn, full)
		slot := k.stage.reel.slot(turn)
		n := k.stage.reel.answer(turn)
		// The node's measurements are never shown twice: the lag is exact.
		if got, want := slot-doc.Node.CPU.Time.Unix(), int64(answers[n].taken.lag); got != want {
			t.Errorf("turn %d: the node's cpu lags %d s, want %d", turn, got, want)
		}
		// As seen in the recording: pods up to 29 s, containers about 0, root file
		// systems up to 10 s.
		within := func(what string, at int64, low, high int64) {
			if lag := slot - at; lag < low || lag > high {
				t.Errorf("turn %d: %s lags %d s, want %d to %d", turn, what, lag, low, high)
			}
		}
		for _, p := range doc.Pods {
			if p.CPU != nil {
				within("cpu of pod "+p.PodRef.Name, p.CPU.Time.Unix(), -1, 29)
			}
			for _, c := range p.Containers {
				within("cpu of container "+c.Name, c.CPU.Time.Unix(), -1, 0)
				if !c.Rootfs.Time.IsZero() {
					within("rootfs of container "+c.Name, c.Rootfs.Time.Unix(), 0, 10)
				}
			}
		}
	}
}

func TestPlausibleADayLater(t *testing.T) {
	for _, resolution := range []time.Duration{time.Second, 15 * time.Second, time.Minute} {
		t.Run(resolution.String(), func(t *testing.T) {
			k := newKubelet(t, func(c *Config) { c.Resolution = resolution })
			before := k.stage.document(k.turnAt(noon), full).Node
			after := k.stage.document(k.turnAt(noon.Add(24*time.Hour)), full).Node
			if before.StartTime != after.StartTime || !before.StartTime.Time.Before(noon.Add(-time.Hour)) {
				t.Errorf("the node started %v, a day later %v", before.StartTime, after.StartTime)
			}
			elapsed := after.CPU.Time.Sub(before.CPU.Time.Time).Seconds()
			cores := float64(*after.CPU.UsageCoreNanoSeconds-*before.CPU.UsageCoreNanoSeconds) / 1e9 / elapsed
			if cores < 0.5 || cores > 2 { // recorded on 2 cores, 1.2 on average
				t.Errorf("used %.2f cores over a day", cores)
			}
			up := after.CPU.Time.Sub(after.StartTime.Time).Seconds()
			if cores := float64(*after.CPU.UsageCoreNanoSeconds) / 1e9 / up; cores < 0.5 || cores > 2 {
				t.Errorf("used %.2f cores since it started", cores)
			}
			if rx := float64(*after.Network.RxBytes-*before.Network.RxBytes) / elapsed; rx <= 0 || rx > 1e9 {
				t.Errorf("received %.0f bytes a second", rx)
			}
		})
	}
}
