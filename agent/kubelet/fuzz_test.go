package kubelet

import (
	"bytes"
	"encoding/json"
	"strconv"
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

// FuzzDecode: Decode never panics, refuses what is not JSON and nothing that
// is, and whatever Kubernetes' own types can read, it reads to the same values.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(wholeDocument))
	f.Add([]byte(`{"node":{},"pods":null}`))
	f.Add([]byte(`{"node":{"cpu":{"usageNanoCores":"1"},"memory":[]},"pods":[1,"",null,{}]}`))
	f.Add([]byte(`{"Node":{"CPU":{"Time":"2026-11-21T3:14:44Z"}},"PODS":{}}`))
	f.Add([]byte(`{"node":{"cpu":{"usageNanoCores":1,"psi":{"full":{"total":2}}},"cpu":{"psi":{"full":null},"usageNanoCores":3}},"node":{"memory":{"rssBytes":4},"\u004eode":{},"memory":null}}`))
	f.Add([]byte("{\"node\":{},\"pods\":[{\"\u017ftarttime\":null,\"podRef\":{\"name\":\"\xff\\ud83d\\ude00\\ud83d\",\"namespace\":\"a\\/b\",\"uid\":\"\\b\"}}]}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		scrape, skipped, err := Decode(body)
		got := flatten(t, scrape)
		if len(skipped) > maxNotes {
			t.Errorf("%d notes", len(skipped))
		}
		nodes, mixed := survey(body)
		switch valid := json.Valid(body) && nodes && bytes.Count(body, []byte{','}) <= maxValues; {
		case valid && err != nil:
			t.Fatalf("refused a summary: %v", err)
		case !valid && err == nil:
			t.Fatal("accepted what is no summary")
		}
		want, judgeErr := judge(body)
		if judgeErr != nil || !nodes || mixed || len(want) > maxContainers {
			return
		}
		compare(t, got, want, true)
	})
}

// survey tells whether the document has a "node" object, which Kubernetes'
// types can't, and whether a list in it comes twice, also as part of objects
// that come twice: encoding/json then reads the second over the first.
func survey(body []byte) (node, mixed bool) {
	if !json.Valid(body) {
		return false, false
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	depth := 0
	var value func(name string) (list bool)
	value = func(name string) (list bool) {
		token, err := decoder.Token()
		if err != nil || token != json.Delim('{') && token != json.Delim('[') {
			return false
		}
		node = node || depth == 1 && strings.EqualFold(name, "node") && token == json.Delim('{')
		list = token == json.Delim('[')
		depth++
		defer func() { depth-- }()
		var names []string
		var lists []bool
		for decoder.More() {
			member := ""
			if token == json.Delim('{') {
				token, _ := decoder.Token()
				member = token.(string)
			}
			inList := value(member)
			for i, before := range names {
				mixed = mixed || strings.EqualFold(before, member) && (inList || lists[i])
			}
			if token == json.Delim('{') {
				names, lists = append(names, member), append(lists, inList)
			}
			list = list || inList
		}
		_, _ = decoder.Token()
		return list
	}
	value("")
	return node, mixed
}

// FuzzSyntax: whatever stands in a document, wherever it stands, Decode calls
// it JSON if encoding/json does; and strings and numbers have the same values.
func FuzzSyntax(f *testing.F) {
	for _, seed := range []string{
		`0`, `-0`, `-`, `01`, `1.`, `.1`, `1e`, `1E+0`, `1e400`, `18446744073709551615`, `18446744073709551616`, `99999999999999999999`, `0x10`, `+1`, `NaN`, `-Infinity`,
		`true`, `tru`, `truex`, `null`, `nul`, `""`, `"`, `"\`, `"\"`, `"\u12`, `"\ud83d\ude00"`, `"\ud83dx"`, `"\x"`, "\"\x1f\"", "\"\x7f\xff\"",
		`[]`, `[`, `[,]`, `[1,]`, `[1 2]`, `[[[[]]],{"a":[]}]`, `{}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1]`, "\xef\xbb\xbf1", "1\x00", `1},"x":{"a":1`,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), strings.Repeat(`{"a":`, 9_999) + "1" + strings.Repeat("}", 9_999),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, part []byte) {
		for _, frame := range [...]string{
			`{"node":{},"unknown":%}`, `{"node":{},%}`, `{"node":{},"pods":[%]}`, `{"node":{"cpu":%}}`, `{"node":{"cpu":{"usageNanoCores":%}}}`,
			`{"node":{"startTime":%}}`, `{"node":{},"pods":[{"podRef":{"name":%}}]}`, `{"node":{"unknown":[{},%]}} `,
		} {
			body := bytes.Replace([]byte(frame), []byte{'%'}, part, 1)
			if bytes.Count(body, []byte{','}) > maxValues {
				return
			}
			_, _, err := Decode(body)
			if valid := json.Valid(body); valid != (err == nil) {
				t.Errorf("%.100q: valid JSON %v, Decode %v", body, valid, err)
			}
		}
		var text string
		if part = bytes.Trim(part, " \t\r\n"); bytes.HasPrefix(part, []byte{'"'}) && json.Unmarshal(part, &text) == nil {
			if got := (&scanner{data: part}).text(); string(got) != text {
				t.Errorf("text %q, want %q", got, text)
			}
		}
		var number json.Number
		if json.Unmarshal(part, &number) == nil && len(part) > 0 && (isDigit(part[0]) || part[0] == '-') {
			want, err := strconv.ParseUint(number.String(), 10, 64)
			if got, ok := (&scanner{data: part}).number(); ok != (err == nil) || ok && got != want {
				t.Errorf("number %d (%v), want %d (%v)", got, ok, want, err)
			}
		}
	})
}
