package kubelets

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDocument(t *testing.T) {
	now := time.Unix(1795236932, 0)
	d := newDocument(4999, now)
	text := string(d.append(nil, now))
	series := map[string]int{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		// As in the recorded answer; start times and errors have no time.
		ok, _ := regexp.MatchString(`^[a-z_]+(\{(container="[a-z]+",)?namespace="[a-z]+-\d\d",pod="[a-z]+-[0-9a-f]{10}-[a-z0-9]{5}"\})? [0-9.e+]+( 1795236932000)?\n$`, line)
		if !ok {
			t.Errorf("line %q", line)
		}
		name, _, _ := strings.Cut(strings.Split(line, " ")[0], "{")
		series[name]++
	}
	for name, want := range map[string]int{
		"container_cpu_usage_seconds_total": Containers, "container_memory_working_set_bytes": Containers, "container_start_time_seconds": Containers,
		"container_swap_limit_bytes": Containers, "container_swap_usage_bytes": Containers,
		"pod_cpu_usage_seconds_total": Pods, "pod_memory_working_set_bytes": Pods, "pod_swap_usage_bytes": Pods,
		"node_cpu_usage_seconds_total": 1, "node_memory_working_set_bytes": 1, "node_swap_usage_bytes": 1, "resource_scrape_error": 1,
	} {
		if series[name] != want {
			t.Errorf("%d series of %s, want %d", series[name], name, want)
		}
		delete(series, name)
	}
	if len(series) != 0 {
		t.Errorf("unexpected: %v", series)
	}
	if later := string(d.append(nil, now.Add(15*time.Second))); later == text {
		t.Error("nothing moves")
	}
}

// Two nodes never have a pod in common, or a scraper would hold fewer.
func TestPodsAreOfOneNode(t *testing.T) {
	seen := map[string]bool{}
	now := time.Unix(1795236932, 0)
	for node := range 5000 {
		for _, pod := range newDocument(node, now).pods {
			if seen[pod] {
				t.Fatalf("node %d: %s is on another node, too", node, pod)
			}
			seen[pod] = true
		}
	}
}
