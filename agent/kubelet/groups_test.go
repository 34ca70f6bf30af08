package kubelet

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// TestDecodeGroups is about which entities there are, in which order.
func TestDecodeGroups(t *testing.T) {
	const cpu = `"cpu":{"usageNanoCores":1}`
	named := func(namespace, name, uid, members string) string {
		return fmt.Sprintf(`{"podRef":{"namespace":%q,"name":%q,"uid":%q}%s}`, namespace, name, uid, members)
	}
	containers := func(members ...string) string { return `,"containers":[{` + strings.Join(members, "},{") + `}]` }

	for name, test := range map[string]struct {
		pods []string
		// NAMESPACE/NAME/UID: CONTAINER@START CONTAINER@START …
		want  []string
		notes []string
	}{
		"sorted": {
			pods: []string{
				named("b", "a", "u", ","+cpu),
				named("a", "b", "u", ","+cpu+containers(`"name":"y",`+cpu, `"name":"x",`+cpu)),
				named("a", "a", "u2", ","+cpu), named("a", "a", "u1", ","+cpu),
			},
			want: []string{"a/a/u1: @0", "a/a/u2: @0", "a/b/u: @0 x@0 y@0", "b/a/u: @0"},
		},
		"a pod without own stats": {
			pods: []string{named("a", "a", "u", containers(`"name":"x",`+cpu))},
			want: []string{"a/a/u: x@0"},
		},
		"pods without anything": {
			pods: []string{named("a", "a", "u", ""), named("a", "b", "u", `,"containers":null`), named("a", "c", "u", containers(`"name":"x"`))},
		},
		"a container listed twice: the latest start": {
			pods: []string{named("a", "a", "u", containers(
				`"name":"x","startTime":"1970-01-01T00:00:10Z",`+cpu, `"name":"x","startTime":"1970-01-01T00:00:30Z",`+cpu,
				`"name":"x","startTime":"1970-01-01T00:00:20Z",`+cpu, `"name":"x",`+cpu))},
			want: []string{"a/a/u: x@30"},
		},
		"a container listed twice: the latest has no stats yet": {
			pods: []string{named("a", "a", "u", containers(
				`"name":"x","startTime":"1970-01-01T00:00:10Z",`+cpu, `"name":"x","startTime":"1970-01-01T00:00:30Z"`, `"name":"y",`+cpu))},
			want: []string{"a/a/u: y@0"},
		},
		"a pod listed twice": {
			pods: []string{
				named("a", "a", "u", `,"startTime":"1970-01-01T00:00:10Z",`+cpu),
				named("a", "a", "u", `,"startTime":"1970-01-01T00:00:20Z",`+cpu+containers(`"name":"x",`+cpu)),
				named("a", "a", "u", ","+cpu),
			},
			want:  []string{"a/a/u: @20 x@0"},
			notes: []string{"pod a/a: listed more than once", "pod a/a: listed more than once"},
		},
		"pods with names that cannot be": {
			pods: []string{
				named("", "a", "u", ","+cpu), named("a", "", "u", ","+cpu), named("a", "a", "", ","+cpu),
				named("a/b", "a", "u", ","+cpu), named("a", strings.Repeat("x", 254), "u", ","+cpu),
				`{"podRef":{"namespace":"a","name":"a\u0000b","uid":"u"},` + cpu + `}`,
				`{"podRef":{"namespace":"a","name":"a","uid":"u\u009f"},` + cpu + `}`,
				`{"podRef":{"namespace":"a","name":7,"uid":"u"},` + cpu + `}`,
				`{"podRef":"a/a",` + cpu + `}`, `null`, `"pod"`,
				named("a", strings.Repeat("x", 253), "u", ","+cpu),
			},
			want: []string{"a/" + strings.Repeat("x", 253) + "/u: @0"},
			notes: []string{
				`pod ""/a: pod skipped: podRef.namespace is empty`, `pod a/"": pod skipped: podRef.name is empty`, `pod a/a: pod skipped: podRef.uid is empty`,
				`pod a/b/a: pod skipped: podRef.namespace has a slash`, `pod a/` + strings.Repeat("x", 80) + `…: pod skipped: podRef.name is too long`,
				`pod a/"a\x00b": pod skipped: podRef.name has a slash or a control character: "a\x00b"`, `pod a/a: pod skipped: podRef.uid has`,
				`pod a/"": podRef.name is a JSON number`, `pod a/"": pod skipped: podRef.name is empty`,
				`document: podRef is a JSON string`, `document: pod skipped`, `document: pod skipped`, `document: pods[] is a JSON string`,
			},
		},
		"containers with names that cannot be": {
			pods: []string{named("a", "a", "u", containers(cpu, `"name":"",`+cpu, `"name":"x/y",`+cpu, `"name":"x",`+cpu))},
			want: []string{"a/a/u: x@0"},
			notes: []string{"pod a/a: container skipped: name is empty", "pod a/a: container skipped: name is empty",
				"pod a/a: container skipped: name has a slash or a control character: x/y"},
		},
		"containers are no list": {
			pods:  []string{named("a", "a", "u", ","+cpu+`,"containers":{"name":"x"}`)},
			want:  []string{"a/a/u: @0"},
			notes: []string{"pod a/a: containers is a JSON object"},
		},
		"nothing is left over from the pod before": {
			pods: []string{
				named("a", "a", "u", containers(`"name":"x",`+cpu, `"name":"y",`+cpu)+`,"network":{"interfaces":[{"rxBytes":1},{"rxBytes":1}]}`),
				named("a", "b", "u", containers(`"memory":{}`, `"name":"y"`)+`,"network":{"interfaces":[{},{}]}`),
				named("a", "c", "u", ""),
			},
			want:  []string{"a/a/u: @0 x@0 y@0"},
			notes: []string{"pod a/b: container skipped: name is empty"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			scrape, skipped, err := Decode([]byte(`{"node":{},"pods":[` + strings.Join(test.pods, ",") + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, g := range scrape.Groups {
				line := g.Pod.Namespace + "/" + g.Pod.Name + "/" + g.Pod.UID + ":"
				for _, s := range g.Samples {
					line += fmt.Sprintf(" %s@%d", s.Name, s.Start)
				}
				got = append(got, line)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(test.want, "\n "))
			}
			if !slices.EqualFunc(skipped, test.notes, strings.HasPrefix) {
				t.Errorf("notes\n %s\nwant\n %s", strings.Join(skipped, "\n "), strings.Join(test.notes, "\n "))
			}
		})
	}
}

func TestDecodePodsNoList(t *testing.T) {
	for pods, notes := range map[string]int{`null`: 0, `{}`: 1, `"x"`: 1, `7`: 1, `[]`: 0} {
		t.Run(pods, func(t *testing.T) {
			scrape, skipped, err := Decode([]byte(`{"pods":` + pods + `,"node":{"cpu":{"usageNanoCores":1}}}`))
			if err != nil || len(scrape.Groups) != 1 || len(skipped) != notes {
				t.Errorf("%v, notes %q, error %v: the node must not be lost", scrape.Groups, skipped, err)
			}
		})
	}
}

// TestDecodeKeepsNothing: the body is the caller's again, and so is its memory.
func TestDecodeKeepsNothing(t *testing.T) {
	body := []byte(wholeDocument)
	before, skipped, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	want, wantNotes := flatten(t, before), strings.Join(skipped, "\n")
	for i := range body {
		body[i] = 'x'
	}
	compare(t, flatten(t, before), want, false)
	if got := strings.Join(skipped, "\n"); got != wantNotes {
		t.Errorf("notes were %q and are %q", wantNotes, got)
	}
	again, _, err := Decode([]byte(wholeDocument))
	if err != nil || !reflect.DeepEqual(before, again) {
		t.Errorf("the scrape has changed with the body: %v", before)
	}
}

// TestDecodeRepeatedNames: of two members with one name the later counts; two
// objects are one, and null takes back what there was.
func TestDecodeRepeatedNames(t *testing.T) {
	for name, test := range map[string]struct {
		node string
		want values
	}{
		"numbers":            {`"cpu":{"usageNanoCores":1,"usageNanoCores":2}`, values{model.CPU: 2}},
		"null later":         {`"cpu":{"usageNanoCores":1,"usageCoreNanoSeconds":3,"usageNanoCores":null}`, values{model.CPUTotal: 3}},
		"objects":            {`"cpu":{"usageNanoCores":1},"cpu":{"usageCoreNanoSeconds":3}`, values{model.CPU: 1, model.CPUTotal: 3}},
		"an object taken":    {`"cpu":{"usageNanoCores":1,"psi":{"full":{"total":4}}},"cpu":null,"memory":{"rssBytes":5}`, values{model.RSS: 5}},
		"another case":       {`"CPU":{"usagenanocores":1},"cpu":{"usageNanoCores":2}`, values{model.CPU: 2}},
		"escaped":            {`"cpu":{"usageNanoCores":1},"c\u0070u":{"usageNanoCores":2}`, values{model.CPU: 2}},
		"with a Kelvin sign": {`"networ\u212a":{"rxBytes":6}`, values{model.NetworkRx: 6}},
		"lists: the later":   {`"network":{"interfaces":[{"rxBytes":1},{"txBytes":1}],"interfaces":[{"rxBytes":2}]}`, values{model.NetworkRx: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			scrape, skipped, err := Decode([]byte(`{"node":{` + test.node + `},"node":{}}`))
			if err != nil || len(skipped) > 0 {
				t.Fatalf("notes %q, error %v", skipped, err)
			}
			checkOnly(t, scrape, model.PodRef{}, "", 0, test.want)
		})
	}
}
