package kubelet

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// wholeDocument has every field that is read, and the odd ones.
const wholeDocument = `{"node":{"nodeName":"n","startTime":"2026-11-21T02:50:17Z",
 "cpu":{"time":"2026-11-21T03:14:44Z","usageNanoCores":746980053,"usageCoreNanoSeconds":1236649744344,
  "psi":{"full":{"total":1,"avg10":0.5},"some":{"total":2}}},
 "memory":{"time":null,"usageBytes":3,"workingSetBytes":4,"rssBytes":5,"psi":{"full":{"total":6},"some":{"total":7}}},
 "io":{"time":"2026-11-21T03:14:44Z","psi":{"full":{"total":8},"some":{"total":9}}},
 "network":{"time":"2026-11-21T03:14:44Z","name":"eth0","rxBytes":10,"txBytes":11,"interfaces":[{"name":"eth0","rxBytes":10}]},
 "fs":{"usedBytes":12},"swap":{"swapUsageBytes":13},"unknown":[{}]},
"pods":[{"podRef":{"name":"p","namespace":"s","uid":"u"},"startTime":"2026-11-21T03:13:34.5+01:00",
 "containers":[{"name":"b","startTime":"2026-11-21T03:13:42Z","cpu":{"time":"0001-01-01T00:00:00Z","usageNanoCores":18446744073709551615},
   "memory":{"time":"2026-11-21T03:14:47Z","workingSetBytes":18446744073709547520},"rootfs":{"time":null,"usedBytes":14},"logs":{"usedBytes":15}},
  {"name":"a","startTime":null,"swap":{"swapUsageBytes":16}},{"name":"a","startTime":"2026-11-21T03:13:43Z","swap":{"swapUsageBytes":17}}],
 "network":{"interfaces":[{"name":"lo","rxBytes":18,"txBytes":18},{"name":"x","rxBytes":19},{"name":"y","rxBytes":20,"txBytes":21}]},
 "ephemeral-storage":{"usedBytes":22}},
 {"podRef":{"name":"p","namespace":"s","uid":"u"},"startTime":"2026-11-21T03:13:33Z","containers":null,"cpu":null},
 {"podRef":{"name":"\u0000","namespace":"s","uid":"u"},"containers":[]}]}`

// FuzzDecode: Decode never panics, accepts nothing that is not JSON, and
// whatever Kubernetes' own types can read, it reads to the same values.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(wholeDocument))
	f.Add([]byte(`{"node":{},"pods":null}`))
	f.Add([]byte(`{"node":{"cpu":{"usageNanoCores":"1"},"memory":[]},"pods":[1,"",null,{}]}`))
	f.Add([]byte(`{"Node":{"CPU":{"Time":"2026-11-21T3:14:44Z"}},"PODS":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		scrape, skipped, err := Decode(body)
		got := flatten(t, scrape)
		if len(skipped) > maxNotes {
			t.Errorf("%d notes", len(skipped))
		}
		if err == nil && !json.Valid(body) {
			t.Fatal("accepted what is not JSON")
		}
		want, judgeErr := judge(body)
		if judgeErr != nil || !hasNode(body) || repeatsName(body) || len(want) > maxContainers {
			return
		}
		if err != nil {
			t.Fatalf("refused what Kubernetes' types can read: %v", err)
		}
		compare(t, got, want, true)
	})
}

// hasNode tells whether the document has a "node" object. Kubernetes' types
// can't.
func hasNode(body []byte) bool {
	var document map[string]json.RawMessage
	if json.Unmarshal(body, &document) != nil {
		return false
	}
	for name, value := range document {
		if strings.EqualFold(name, "node") && bytes.HasPrefix(value, []byte{'{'}) {
			return true
		}
	}
	return false
}

// repeatsName tells whether an object has the same name twice: JSON leaves
// open what that means, and encoding/json's answer depends on the types.
func repeatsName(body []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(body))
	var walk func() bool
	walk = func() bool {
		token, err := decoder.Token()
		if err != nil || token != json.Delim('{') && token != json.Delim('[') {
			return false
		}
		var names []string
		for decoder.More() {
			if token == json.Delim('{') {
				name, err := decoder.Token()
				if err != nil {
					return false
				}
				for _, before := range names {
					if strings.EqualFold(before, name.(string)) {
						return true
					}
				}
				names = append(names, name.(string))
			}
			if walk() {
				return true
			}
		}
		_, _ = decoder.Token()
		return false
	}
	return walk()
}
