package standin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// TestTruthIsWhatWasServed reads what came over the wire with a walk of its
// own, which knows field names only, and compares it with the truth's JSON.
func TestTruthIsWhatWasServed(t *testing.T) {
	k := newKubelet(t, func(c *Config) { c.Pods = 20 })
	s := serve(t, k)
	var want []any
	for i := range 80 {
		now := noon.Add(time.Duration(i) * 15 * time.Second)
		if i%10 == 9 {
			continue // a slot that nobody asks for
		}
		k.SetClock(func() time.Time { return now })
		path, name := "/stats/summary?only_cpu_and_memory=true", "light"
		if i%4 == 0 {
			path, name = "/stats/summary", "full"
		}
		_, body, err := s.get(t, path)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, map[string]any{
			"slot": json.Number(fmt.Sprint(now.Unix())), "form": name, "entities": walkDocument(t, body),
		})
	}
	text, err := json.Marshal(k.Truth(noon.Unix(), noon.Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, text)
	slots := got["slots"].([]any)
	if got["node"] != "node-1" || got["resolution"] != json.Number("15") || len(slots) != len(want) {
		t.Fatalf("truth of %v, %v s, %d slots; want node-1, 15 s, %d slots", got["node"], got["resolution"], len(slots), len(want))
	}
	for i := range slots {
		slot := slots[i].(map[string]any)
		entities := map[string]any{}
		for _, e := range slot["entities"].([]any) {
			entities[identity(e.(map[string]any))] = e
		}
		slot["entities"] = entities
		if !reflect.DeepEqual(slot, want[i]) {
			t.Fatalf("slot %v:\n got %v\nwant %v", slot["slot"], slot, want[i])
		}
	}
}

func TestTruthSelects(t *testing.T) {
	k := newKubelet(t, func(c *Config) { c.Pods = 1 })
	now := k.turnAt(noon)
	at := noon.Unix()
	k.served.note(now, light)
	k.served.note(now+1, full)
	k.served.note(now, full)
	k.served.note(now+1, light)
	for name, c := range map[string]struct {
		from, to int64
		want     string
	}{
		"one slot":              {at, at, "[full]"},
		"the last answer":       {at + 15, at + 15, "[light]"},
		"both":                  {at, at + 15, "[full light]"},
		"starts within a slot":  {at + 1, at + 15, "[light]"},
		"ends within a slot":    {at, at + 14, "[full]"},
		"from the start of all": {0, at + 1000, "[full light]"},
		"before":                {0, at - 1, "[]"},
		"backwards":             {at + 15, at, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			truth, forms := k.Truth(c.from, c.to), []string{}
			for _, s := range truth.Slots {
				forms = append(forms, s.Form)
			}
			if got := fmt.Sprint(forms); got != c.want || truth.Slots == nil {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func parse(t *testing.T, text []byte) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func identity(e map[string]any) string {
	return fmt.Sprint(e["namespace"], "/", e["pod"], "/", e["uid"], "/", e["container"])
}

// metricPaths are where a metric is in the JSON of an entity, by kind. The
// first that is there counts.
var metricPaths = map[string]map[string][][]string{
	"node":      {"networkRx": {{"network", "rxBytes"}}, "networkTx": {{"network", "txBytes"}}, "rootfs": {{"fs", "usedBytes"}}},
	"pod":       {"networkRx": {{"network", "rxBytes"}}, "networkTx": {{"network", "txBytes"}}, "ephemeral": {{"ephemeral-storage", "usedBytes"}}},
	"container": {"rootfs": {{"rootfs", "usedBytes"}}, "logs": {{"logs", "usedBytes"}}},
	"": {
		"cpu": {{"cpu", "usageNanoCores"}}, "cpuTotal": {{"cpu", "usageCoreNanoSeconds"}},
		"memory": {{"memory", "workingSetBytes"}}, "memoryUsage": {{"memory", "usageBytes"}}, "rss": {{"memory", "rssBytes"}},
		"swap":       {{"swap", "swapUsageBytes"}},
		"psiCpuSome": {{"cpu", "psi", "some", "total"}}, "psiCpuFull": {{"cpu", "psi", "full", "total"}},
		"psiMemorySome": {{"memory", "psi", "some", "total"}}, "psiMemoryFull": {{"memory", "psi", "full", "total"}},
		"psiIoSome": {{"io", "psi", "some", "total"}}, "psiIoFull": {{"io", "psi", "full", "total"}},
		"measured": {{"cpu", "time"}, {"memory", "time"}},
	},
}

func walkDocument(t *testing.T, body []byte) map[string]any {
	t.Helper()
	doc := parse(t, body)
	entities := map[string]any{}
	add := func(kind string, object map[string]any, names map[string]any) {
		e := map[string]any{"start": unix(t, object["startTime"]), "values": walkEntity(t, kind, object)}
		for k, v := range names {
			e[k] = v
		}
		entities[identity(e)] = e
	}
	add("node", doc["node"].(map[string]any), nil)
	for _, p := range doc["pods"].([]any) {
		pod := p.(map[string]any)
		ref := pod["podRef"].(map[string]any)
		names := map[string]any{"namespace": ref["namespace"], "pod": ref["name"], "uid": ref["uid"]}
		add("pod", pod, names)
		for _, c := range pod["containers"].([]any) {
			container := c.(map[string]any)
			names["container"] = container["name"]
			add("container", container, names)
		}
	}
	return entities
}

func walkEntity(t *testing.T, kind string, object map[string]any) map[string]any {
	t.Helper()
	found := map[string]any{}
	for _, paths := range []map[string][][]string{metricPaths[kind], metricPaths[""]} {
		for metric, alternatives := range paths {
			for _, path := range alternatives {
				if v := lookup(object, path); v != nil && found[metric] == nil {
					found[metric] = v
					if metric == "measured" {
						found[metric] = unix(t, v)
					}
				}
			}
		}
	}
	// Without a default interface, all of them together.
	if links, ok := lookup(object, []string{"network", "interfaces"}).([]any); ok && found["networkRx"] == nil {
		var rx, tx int64
		for _, l := range links {
			rx += integer(t, l.(map[string]any)["rxBytes"])
			tx += integer(t, l.(map[string]any)["txBytes"])
		}
		found["networkRx"], found["networkTx"] = json.Number(fmt.Sprint(rx)), json.Number(fmt.Sprint(tx))
	}
	return found
}

func lookup(object map[string]any, path []string) any {
	var v any = object
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func unix(t *testing.T, v any) json.Number {
	t.Helper()
	at, err := time.Parse(time.RFC3339, v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return json.Number(fmt.Sprint(at.Unix()))
}

func integer(t *testing.T, v any) int64 {
	t.Helper()
	n, err := v.(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return n
}
