package kubelet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func TestDecodeRecorded(t *testing.T) {
	bodies := map[string][]byte{"light": recordedLight(t)}
	for i, body := range recordedFull(t) {
		bodies[fmt.Sprintf("full %d", i)] = body
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			scrape, skipped, err := Decode(body)
			if err != nil || len(skipped) > 0 {
				t.Fatalf("skipped %q, error %v", skipped, err)
			}
			want, err := judge(body)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, flatten(t, scrape), want, false)
			// 1 node, 55 pods, 77 containers, and all that was recorded of them.
			if len(scrape.Groups) != 56 || scrape.Entities() != 133 {
				t.Errorf("%d groups, %d entities", len(scrape.Groups), scrape.Entities())
			}
			if body[0] == '{' && !strings.HasPrefix(name, "light") {
				wantMetrics(t, scrape.Groups[0].Samples[0], model.CPU, model.CPUTotal, model.WorkingSet, model.Usage,
					model.RSS, model.Swap, model.NetworkRx, model.NetworkTx, model.RootFS)
				wantMetrics(t, scrape.Groups[1].Samples[0], model.CPU, model.WorkingSet, model.Swap, model.Ephemeral)
				wantMetrics(t, scrape.Groups[1].Samples[1], model.CPU, model.WorkingSet, model.Swap, model.RootFS, model.Logs)
			}
		})
	}
}

func wantMetrics(t *testing.T, s model.Sample, metrics ...model.Metric) {
	t.Helper()
	for _, m := range append(metrics, model.Measured) {
		if !s.Has(m) {
			t.Errorf("%q has no %v", s.Name, m)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, test := range map[string]struct{ body, reason string }{
		"nothing":             {"", "not a JSON object"},
		"white space":         {" \n", "not a JSON object"},
		"text":                {"Unauthorized", "not a JSON object"},
		"a list":              {"[]", "not a JSON object"},
		"null":                {"null", "not a JSON object"},
		"half a document":     {`{"node":{"cpu":{"usageNanoCores":1}},"pods":[{"podRef":{"na`, "unexpected EOF"},
		"no end":              {`{"node":{},"pods":[]`, "unexpected EOF"},
		"a name, then no end": {`{"node"`, "unexpected EOF"},
		"no node":             {`{"pods":[]}`, `no "node" object`},
		"node null":           {`{"node":null,"pods":[]}`, `no "node" object`},
		"node a list":         {`{"node":[]}`, `no "node" object`},
		"node a number":       {`{"node":1}`, `no "node" object`},
		"two documents":       {`{"node":{}}{"node":{}}`, "content after"},
		"a NUL at the end":    {"{\"node\":{}}\x00", "content after"},
		"a colon at the end":  {`{"node":{}}:`, "content after"},
		"two colons":          {`{"node"::{}}`, "invalid character"},
		"a comma too many":    {`{"node":{},}`, "invalid character"},
		"no comma":            {`{"node":{} "pods":[]}`, "invalid character"},
		"wrong bracket":       {`{"node":{},"pods":[}}`, "invalid character"},
		"bad number":          {`{"node":{"cpu":{"usageNanoCores":01}}}`, "invalid character"},
		"too many values":     {`{"node":{},"pods":[` + strings.Repeat("0,", maxValues+1) + `0]}`, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			scrape, _, err := Decode([]byte(test.body))
			failure, ok := errors.AsType[*Error](err)
			if !ok || failure.Kind != Malformed || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("error %v, want malformed with %q", err, test.reason)
			}
			if len(scrape.Groups) > 0 {
				t.Errorf("groups in spite of an error: %v", scrape.Groups)
			}
		})
	}
}

func TestDecodeNotesAreBounded(t *testing.T) {
	var pods []string
	for i := range 100 {
		pods = append(pods, fmt.Sprintf(`{"podRef":{"namespace":"n","name":"%s%d","uid":"u"},"cpu":{"usageNanoCores":-1}}`, strings.Repeat("p", 200), i))
	}
	_, skipped, err := Decode([]byte(`{"node":{},"pods":[` + strings.Join(pods, ",") + `]}`))
	if err != nil || len(skipped) != 20 || skipped[19] != "and 81 more" {
		t.Errorf("error %v, %d notes, last %q", err, len(skipped), skipped[len(skipped)-1])
	}
	for _, note := range skipped {
		if len(note) > 300 {
			t.Errorf("a note of %d bytes", len(note))
		}
	}
}

func TestDecodeLimits(t *testing.T) {
	list := func(n int, format string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(format, n-1-i) // backwards: order must not decide
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	for name, test := range map[string]struct {
		pods   string
		groups int
		note   string
	}{
		"pods": {list(maxPods+3, `{"podRef":{"namespace":"n","name":"p%05d","uid":"u"},"cpu":{"usageNanoCores":1}}`),
			1 + maxPods, "document: 3 pods beyond 2048 skipped"},
		"containers": {`[{"podRef":{"namespace":"n","name":"p","uid":"u"},"containers":` + list(maxContainers+2, `{"name":"c%05d","cpu":{"usageNanoCores":1}}`) + `}]`,
			2, "pod n/p: 2 containers beyond 512 skipped"},
	} {
		t.Run(name, func(t *testing.T) {
			scrape, skipped, err := Decode([]byte(`{"node":{"cpu":{"usageNanoCores":1}},"pods":` + test.pods + `}`))
			if err != nil || len(scrape.Groups) != test.groups || !slices.Equal(skipped, []string{test.note}) {
				t.Fatalf("error %v, %d groups, notes %q", err, len(scrape.Groups), skipped)
			}
			last := scrape.Groups[len(scrape.Groups)-1]
			if name == "pods" && last.Pod.Name != "p02047" || name == "containers" && last.Samples[len(last.Samples)-1].Name != "c00511" {
				t.Errorf("the limit did not keep the first by name, but %v", last)
			}
		})
	}
}
