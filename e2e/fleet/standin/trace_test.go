package standin

import (
	"strings"
	"testing"
)

func TestTraceIsAsRecorded(t *testing.T) {
	tr, err := trace()
	if err != nil {
		t.Fatal(err)
	}
	containers := 0
	for _, p := range tr.pods {
		containers += len(p.containers)
		for _, c := range p.containers {
			if len(c.answers) != 180 {
				t.Errorf("%s/%s has %d answers, want 180", p.workload, c.name, len(c.answers))
			}
		}
	}
	if len(tr.asked) != 180 || len(tr.node.answers) != 180 || len(tr.pods) != 55 || containers != 77 {
		t.Errorf("%d answers, %d of the node, %d pods, %d containers; want 180, 180, 55, 77",
			len(tr.asked), len(tr.node.answers), len(tr.pods), containers)
	}
	kinds := map[string]bool{}
	for _, p := range tr.pods[:8] {
		kinds[p.namespace+"/"+p.workload] = true
	}
	if len(kinds) != 8 {
		t.Errorf("the first 8 pods are of %d workloads, want 8", len(kinds))
	}
}

func TestReadTraceRefuses(t *testing.T) {
	for name, c := range map[string]struct{ lines, want string }{
		"nothing":      {"", "0 answers"},
		"not JSON":     {"{\"scrapedAt\":1", "answer 0"},
		"another type": {`{"scrapedAt":"now"}`, "answer 0"},
		"no node":      {`{"scrapedAt":1,"summary":{}}`, "answer 0: the node's network"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readTrace(strings.NewReader(c.lines)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}
