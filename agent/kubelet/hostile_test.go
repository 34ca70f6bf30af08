package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

const (
	// hostileSize is how long bodies are that could be of any length, in
	// bytes. They grow in proportion, and the race detector is slow.
	hostileSize = 2 << 20
	// decodeMemory is what decoding may allocate in all, in bytes for one of
	// the body, and besides. Samples take 176 for 40; the race detector doubles it.
	decodeMemory, decodeMemoryBesides = 16, 2 << 20
)

// TestHostileBodies has bodies that no kubelet sends, decoded and fetched.
// kind 0 is a good answer, of so many groups.
func TestHostileBodies(t *testing.T) {
	const pod = `{"podRef":{"namespace":"n","name":"p%d","uid":"u"},"cpu":{"usageNanoCores":1}}`
	// document has a node, and something beside it.
	document := func(members string) string { return `{"node":{"cpu":{"usageNanoCores":1}},` + members + `}` }
	onePod := func(containers string) string {
		return document(`"pods":[{"podRef":{"namespace":"n","name":"p","uid":"u"},"containers":[` + containers + `]}]`)
	}
	number := func(text string) string {
		return `{"node":{"memory":{"rssBytes":1},"cpu":{"usageNanoCores":` + text + `}}}`
	}
	// repeat makes a list of hostileSize, or of as many values as there may be.
	repeat := func(format string) string {
		var b strings.Builder
		for i := range maxValues {
			if b.Len() > hostileSize || (i+10)*(1+strings.Count(format, ",")) > maxValues {
				break
			}
			fmt.Fprintf(&b, format+",", i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	for name, test := range map[string]struct {
		body   string
		kind   Kind
		groups int
		part   string // of the error or of the first note
	}{
		"a million lists":             {body: document(`"x":` + strings.Repeat("[", 1_000_000)), kind: Malformed, part: "at most 10000"},
		"a million lists, closed":     {body: document(`"x":` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000)), kind: Malformed, part: "at most 10000"},
		"a million objects":           {body: document(`"x":` + strings.Repeat(`{"":`, 1_000_000)), kind: Malformed, part: "at most 10000"},
		"a million lists as a number": {body: number(strings.Repeat("[", 1_000_000)), kind: Malformed, part: "at most 10000"},
		"a million lists as pods":     {body: document(`"pods":` + strings.Repeat("[", 1_000_000)), kind: Malformed, part: "at most 10000"},
		"9,000 lists":                 {body: document(`"x":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)), groups: 1},

		"the same number 100,000 times": {body: `{"node":{"cpu":{` + strings.Repeat(`"usageNanoCores":1,`, 100_000) + `"usageNanoCores":2}}}`, groups: 1},
		"100,000 nodes":                 {body: `{` + strings.Repeat(`"node":{"cpu":{"usageNanoCores":1}},`, 100_000) + `"pods":[]}`, groups: 1},
		"100,000 lists of pods":         {body: document(strings.Repeat(`"pods":[{}],`, 100_000) + `"pods":null`), groups: 1, part: "pod skipped"},
		"the same pod for ever":         {body: document(`"pods":[` + repeat(`{"podRef":{"namespace":"n","name":"p","uid":"u"},"cpu":{"usageNanoCores":%d}}`) + `]`), groups: 2, part: "pod n/p: listed more than once"},

		"NaN":               {body: number("NaN"), kind: Malformed, part: "invalid character 'N'"},
		"nan":               {body: number("nan"), kind: Malformed, part: "invalid character 'a'"},
		"Infinity":          {body: number("Infinity"), kind: Malformed, part: "invalid character 'I'"},
		"-Infinity":         {body: number("-Infinity"), kind: Malformed, part: "invalid character 'I'"},
		"00":                {body: number("00"), kind: Malformed, part: "invalid character '0'"},
		"01":                {body: number("01"), kind: Malformed, part: "invalid character '1'"},
		"0x10":              {body: number("0x10"), kind: Malformed, part: "invalid character 'x'"},
		"+1":                {body: number("+1"), kind: Malformed, part: "invalid character '+'"},
		".5":                {body: number(".5"), kind: Malformed, part: "invalid character '.'"},
		"1.":                {body: number("1."), kind: Malformed, part: "want a digit"},
		"1e":                {body: number("1e"), kind: Malformed, part: "want a digit"},
		"-":                 {body: number("-"), kind: Malformed, part: "want a value"},
		"1_000":             {body: number("1_000"), kind: Malformed, part: "invalid character '_'"},
		"1e400":             {body: number("1e400"), groups: 1, part: "node: cpu.usageNanoCores is no unsigned integer"},
		"1e3":               {body: number("1e3"), groups: 1, part: "no unsigned integer"},
		"1.0":               {body: number("1.0"), groups: 1, part: "no unsigned integer"},
		"-0":                {body: number("-0"), groups: 1, part: "no unsigned integer"},
		"-1":                {body: number("-1"), groups: 1, part: "no unsigned integer"},
		"2 to the 64th":     {body: number("18446744073709551616"), groups: 1, part: "no unsigned integer"},
		"a million digits":  {body: number(strings.Repeat("9", 1_000_000)), groups: 1, part: "no unsigned integer"},
		`"NaN"`:             {body: number(`"NaN"`), groups: 1, part: "no unsigned integer"},
		"true":              {body: number("true"), groups: 1, part: "no unsigned integer"},
		"TRUE":              {body: number("TRUE"), kind: Malformed, part: "invalid character 'T'"},
		"a control in text": {body: document("\"x\":\"\n\""), kind: Malformed, part: "invalid character '\\n'"},

		"10,000 pods": {body: document(`"pods":[` + pods(10_000, pod) + `]`), groups: 1 + maxPods, part: "document: 7952 pods beyond 2048 skipped"},
		// The notes of a pod must not end up at another that is dropped when there are too many.
		"flawed duplicates": {body: document(`"pods":[` + pods(2*maxPods-1, `{"podRef":{"namespace":"n","name":"p","uid":"u"},"cpu":{"usageNanoCores":%d}}`) + `,{"podRef":{"namespace":"n","name":"last","uid":"u"},"memory":7}]`),
			groups: 2, part: "pod n/last: memory is a JSON number"},
		"pods for ever":          {body: document(`"pods":[` + repeat(pod) + `]`), groups: 1 + maxPods, part: "pods beyond 2048 skipped"},
		"containers for ever":    {body: onePod(repeat(`{"name":"c%d","cpu":{"usageNanoCores":1}}`)), groups: 2, part: "containers beyond 512 skipped"},
		"containers with a name": {body: onePod(repeat(`{"name":"c%d"}`)), groups: 1, part: "containers beyond 512 skipped"},
		"nameless containers":    {body: onePod(repeat(`{"x":%d}`)), groups: 1, part: "container skipped: name is empty"},
		"broken containers":      {body: onePod(repeat(`{"cpu":{"usageNanoCores":-%d}}`)), groups: 1, part: "container skipped: name is empty"},
		"times that are none":    {body: onePod(repeat(`{"name":"c","startTime":"%d"}`)), groups: 1, part: "startTime is no time"},
		"interfaces for ever":    {body: `{"node":{"network":{"interfaces":[` + repeat(`{"name":"i%d","rxBytes":1}`) + `]}}}`, groups: 1},
		"too many values":        {body: document(`"x":[` + strings.Repeat("0,", maxValues) + `0]`), kind: Malformed, part: "at most 524288 are read"},
		"a name of 2 MB":         {body: onePod(`{"name":"` + strings.Repeat("n", hostileSize) + `"}`), groups: 1, part: "name is too long"},
		"an escaped name of 2 MB": {body: onePod(`{"name":"` + strings.Repeat(`\n`, hostileSize/2) + `"}`), groups: 1,
			part: "name is too long"},
		"a time of 2 MB": {body: `{"node":{"startTime":"` + strings.Repeat("2", hostileSize) + `"}}`, part: "node: startTime is no time"},
	} {
		t.Run(name, func(t *testing.T) {
			if len(test.body) > DefaultMaxBody {
				t.Fatalf("%d bytes would never be decoded", len(test.body))
			}
			body := []byte(test.body)
			var skipped []string
			var err error
			var groups int
			if n := allocated(func() {
				scrape, s, e := Decode(body)
				groups, skipped, err = len(scrape.Groups), s, e
			}); n > decodeMemory*uint64(len(body))+decodeMemoryBesides {
				t.Errorf("decoding %d bytes allocated %d MiB", len(body), n>>20)
			}
			failure, _ := errors.AsType[*Error](err)
			switch {
			case test.kind == 0 && err != nil:
				t.Fatal(err)
			case test.kind != 0 && (failure == nil || failure.Kind != test.kind || !strings.Contains(err.Error(), test.part)):
				t.Fatalf("error %v, want %v with %q", err, test.kind, test.part)
			case test.kind == 0 && groups != test.groups:
				t.Errorf("%d groups, want %d", groups, test.groups)
			case test.kind == 0 && test.part != "" && (len(skipped) == 0 || !strings.Contains(skipped[0], test.part)):
				t.Errorf("notes %q, want %q first", skipped, test.part)
			}

			cfg, _ := startKubelet(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, test.body) })
			client := startClient(t, cfg)
			answer, err := client.Fetch(context.Background(), Full)
			if test.kind != 0 {
				checkFailure(t, answer, err, test.kind, test.part)
			} else if err != nil || len(answer.Scrape.Groups) != test.groups {
				t.Errorf("fetched %d groups, error %v", len(answer.Scrape.Groups), err)
			}
		})
	}
}

func pods(n int, format string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(list, ",")
}

// allocated is how many bytes f allocates, freed ones included. Nothing else
// runs, but for what the runtime does.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestEndlessBodies: of what goes on for ever, or far beyond the limit, no
// more than the limit is read, and little is held.
func TestEndlessBodies(t *testing.T) {
	const pod = `{"podRef":{"namespace":"n","name":"p","uid":"u"},"cpu":{"usageNanoCores":1}},`
	for name, test := range map[string]struct {
		start, part string
		total       int // in bytes; 0: no end
	}{
		"100 MB of pods":         {`{"node":{},"pods":[`, pod, 100 << 20},
		"100 MB of spaces":       {"", " ", 100 << 20},
		"pods without end":       {`{"node":{},"pods":[`, pod, 0},
		"a string without end":   {`{"node":{},"x":"`, "x", 0},
		"a number without end":   {`{"node":{},"x":1`, "0", 0},
		"nesting without end":    {`{"node":{},"x":`, "[", 0},
		"documents without end":  {"", `{"node":{}}`, 0},
		"the same name for ever": {"{", `"node":{},`, 0},
		"zero bytes without end": {"", "\x00", 0},
	} {
		t.Run(name, func(t *testing.T) {
			block := strings.Repeat(test.part, 64<<10/len(test.part))
			cfg, _ := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, test.start)
				for sent := 0; r.Context().Err() == nil && (test.total == 0 || sent < test.total); sent += len(block) {
					if _, err := io.WriteString(w, block); err != nil {
						return
					}
				}
			})
			if test.total == 0 {
				cfg.MaxBody = hostileSize
			}
			client := startClient(t, cfg)
			var answer Answer
			// The buffer doubles up to the limit, and the server has its own.
			if n := allocated(func() {
				answer = wantFailure(t, client, Full, TooLarge, "--kubelet-max-body")
			}); n > 8*DefaultMaxBody {
				t.Errorf("reading up to the limit allocated %d MiB", n>>20)
			}
			if answer.Status != http.StatusOK || cap(answer.Body) > 2*keptBody {
				t.Errorf("status %d, %d bytes of the body kept", answer.Status, cap(answer.Body))
			}
		})
	}
}
