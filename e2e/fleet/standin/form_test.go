package standin

import (
	"encoding/json"
	"net/url"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestFormOf(t *testing.T) {
	for query, want := range map[string]form{
		"":                             full,
		"only_cpu_and_memory=true":     light,
		"only_cpu_and_memory=TRUE":     full,
		"only_cpu_and_memory=1":        full,
		"only_cpu_and_memory=false":    full,
		"only_cpu_and_memory=":         full,
		"x=1&only_cpu_and_memory=true": light,
		"only_cpu_and_memory=true&only_cpu_and_memory=true": full,
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := formOf(values); got != want {
			t.Errorf("?%s: %v, want %v", query, got, want)
		}
	}
}

// TestLightHasTheRecordedFields compares with a real light answer of the same
// kubelet: the same fields, but for the container PSI made up here.
func TestLightHasTheRecordedFields(t *testing.T) {
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	recorded, err := unpack.DecodeAll(readFile(t, "testdata/summary-light.json.zst"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := fields(t, recorded)
	for _, stat := range []string{"cpu", "memory"} {
		for _, share := range []string{"full", "some"} {
			for _, field := range []string{"total", "avg10", "avg60", "avg300"} {
				want = append(want, "pods[].containers[]."+stat+".psi."+share+"."+field)
			}
		}
	}
	slices.Sort(want)
	k := newKubelet(t, nil)
	if got := fields(t, mustBody(t, k, k.turnAt(noon), light)); !slices.Equal(got, want) {
		t.Errorf("fields are\n%q\nwant\n%q", got, want)
	}
}

// TestLightIsFullWithoutSomeFields takes the fields of contracts §1 out of a
// full answer by their names, and compares all the rest.
func TestLightIsFullWithoutSomeFields(t *testing.T) {
	k := newKubelet(t, nil)
	for turn := k.turnAt(noon); turn < k.turnAt(noon)+80; turn += 7 {
		var whole, less map[string]any
		decode(t, mustBody(t, k, turn, full), &whole)
		decode(t, mustBody(t, k, turn, light), &less)
		node := whole["node"].(map[string]any)
		drop(node, "network", "fs", "runtime", "rlimit", "io")
		node["startTime"] = less["node"].(map[string]any)["startTime"] // the root cgroup's
		for _, c := range node["systemContainers"].([]any) {
			drop(c, "rootfs", "logs", "io")
		}
		for _, p := range whole["pods"].([]any) {
			drop(p, "network", "volume", "ephemeral-storage", "process_stats", "io")
			for _, c := range p.(map[string]any)["containers"].([]any) {
				drop(c, "rootfs", "logs", "io")
			}
		}
		want, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(less)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("turn %d: the light answer is not the full one without some fields", turn)
		}
	}
}

func drop(object any, fields ...string) {
	for _, f := range fields {
		delete(object.(map[string]any), f)
	}
}

func decode(t *testing.T, body []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatal(err)
	}
}

// fields are the paths of all numbers and strings in a document, sorted.
func fields(t *testing.T, body []byte) []string {
	t.Helper()
	var doc any
	decode(t, body, &doc)
	found := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if path != "" {
					key = path + "." + key
				}
				walk(key, value)
			}
		case []any:
			for _, value := range v {
				walk(path+"[]", value)
			}
		default:
			found[path] = true
		}
	}
	walk("", doc)
	paths := make([]string, 0, len(found))
	for path := range found {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}
