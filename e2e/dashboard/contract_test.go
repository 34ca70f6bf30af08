package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func toyTarget(c *Client) Target {
	return Target{
		Client: c, Resolution: toyResolution, Window: toyWindow, Namespace: toyNamespace, Pods: toyPods, Nodes: toyNodes,
		Names: 2000, Truth: toyTruth{},
	}
}

// A toy that keeps the contract passes, over a network and without.
func TestContractOfToy(t *testing.T) {
	s := httptest.NewServer(toy{}.handler())
	defer s.Close()
	direct, err := Direct(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	inside, err := Within(toy{}.handler())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Client{"direct": direct, "within": inside} {
		t.Run(name, func(t *testing.T) { TestContract(t, toyTarget(c)) })
	}
}

// each changes each item.
func each(do func(i int, one *toyItem)) func([]toyItem, bool) []toyItem {
	return func(items []toyItem, _ bool) []toyItem {
		for i := range items {
			do(i, &items[i])
		}
		return items
	}
}

// replaced changes the answer as it is written.
func replaced(old, by string) func(string) string {
	return func(body string) string { return strings.Replace(body, old, by, 1) }
}

// onPath has some paths answered otherwise.
func onPath(part string, h http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.RequestURI, part) {
				h(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// asking has requests with some header answered otherwise.
func asking(header, value string, h http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get(header), value) {
				h(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// altered has requests arrive otherwise.
func altered(do func(*http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			do(r)
			next.ServeHTTP(w, r)
		})
	}
}

// Whoever breaks a rule fails the check of it.
func TestContractBroken(t *testing.T) {
	cases := map[string]struct {
		toy  toy
		want string // the check that fails
	}{
		"a point too many": {toy{tell: each(func(_ int, one *toyItem) {
			last := one.MetricPoints[len(one.MetricPoints)-1]
			last.Timestamp = last.Timestamp.Add(toyResolution)
			one.MetricPoints = append(one.MetricPoints[1:], last)
		})}, "pods as measured"},
		"a wrong value": {toy{tell: each(func(i int, one *toyItem) { one.MetricPoints[30].Value++ })}, "sums of pods"},
		"a wrong value of a node": {toy{tell: func(items []toyItem, _ bool) []toyItem {
			for _, one := range items {
				if one.UIDs[0] == "node-2" {
					one.MetricPoints[7].Value++
				}
			}
			return items
		}}, "sum of nodes"},
		"a series that starts late": {toy{tell: each(func(i int, one *toyItem) { one.MetricPoints = one.MetricPoints[i*3:] })}, "pods as measured"},
		"a hole": {toy{tell: each(func(i int, one *toyItem) {
			if i == 1 {
				one.MetricPoints = slices.Delete(one.MetricPoints, 20, 21)
			}
		})}, "sums of pods"},
		"a newest slot that is not whole": {toy{tell: each(func(i int, one *toyItem) {
			if i == 1 {
				one.MetricPoints = one.MetricPoints[:len(one.MetricPoints)-1]
			}
		})}, "sums of pods"},
		"old": {toy{tell: each(func(_ int, one *toyItem) { one.MetricPoints = one.MetricPoints[:len(one.MetricPoints)-4] })}, "nodes as measured"},
		"too much history": {toy{tell: each(func(_ int, one *toyItem) {
			first := one.MetricPoints[0]
			first.Timestamp = first.Timestamp.Add(-toyResolution)
			one.MetricPoints = slices.Insert(one.MetricPoints, 0, first)
		})}, "pods as measured"},
		"seconds of their own": {toy{tell: each(func(_ int, one *toyItem) {
			for i := range one.MetricPoints {
				one.MetricPoints[i].Timestamp = one.MetricPoints[i].Timestamp.Add(4 * time.Second)
			}
		})}, "nodes as measured"},
		"the order of points": {toy{tell: each(func(_ int, one *toyItem) { slices.Reverse(one.MetricPoints) })}, "pods as measured"},
		"another time zone": {toy{tell: each(func(_ int, one *toyItem) {
			for i := range one.MetricPoints {
				one.MetricPoints[i].Timestamp = one.MetricPoints[i].Timestamp.In(time.FixedZone("", 3600))
			}
		})}, "pods as measured"},
		"fractions of a second": {toy{body: replaced(`Z","value"`, `.000Z","value"`)}, "nodes as measured"},
		"a fraction":            {toy{body: replaced(`,{"timestamp"`, `,{"value":1.5,"timestamp"`)}, "sums of pods"},
		"a float":               {toy{body: replaced(`}],"metricName"`, `.0}],"metricName"`)}, "sums of pods"},
		"below 0":               {toy{body: replaced(`"value":`, `"value":-`)}, "sum of nodes"},
		"an exponent":           {toy{body: replaced(`}],"metricName"`, `e0}],"metricName"`)}, "nodes as measured"},
		"no dataPoints":         {toy{body: replaced(`"dataPoints":[],`, "")}, "pods as measured"},
		"dataPoints null":       {toy{body: replaced(`"dataPoints":[]`, `"dataPoints":null`)}, "pods as measured"},
		"UIDs":                  {toy{tell: each(func(_ int, one *toyItem) { one.UIDs[0] = stranger })}, "pods as measured"},
		"a UID besides":         {toy{tell: each(func(_ int, one *toyItem) { one.UIDs = append(one.UIDs, stranger) })}, "pods as measured"},
		"the metric's last part": {toy{tell: each(func(_ int, one *toyItem) {
			one.MetricName = strings.Replace(one.MetricName, "memory", "memory/usage", 1)
		})}, "names of metrics"},
		"CPU and cpu":               {toy{around: altered(func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "/CPU/", "/cpu/", 1) })}, "names of metrics"},
		"metrics that nobody knows": {toy{around: onPath("/foo/", status(404))}, "names of metrics"},
		"items empty":               {toy{body: replaced("null", "[]")}, "unknown namespace"},
		"nothing said of a node":    {toy{around: onPath("/nodes/"+stranger, status(200, "Content-Type", "application/json"))}, "unknown node"},
		"unknown pods not found":    {toy{around: onPath(stranger, status(404))}, "unknown pods"},
		"an item twice":             {toy{names: func(names []string) []string { return names }}, "names asked twice"},
		"all for a comma": {toy{names: func(names []string) []string {
			if slices.Equal(names, []string{"", ""}) {
				return slices.Concat(toyPods, toyNodes)
			}
			return unique(names)
		}}, "no names"},
		"one node a path":     {toy{around: onPath("/node-1,node-2", status(200, "Content-Type", "application/json"))}, "several nodes in one path"},
		"paths as they come":  {toy{around: onPath("%2C", status(200, "Content-Type", "text/plain"))}, "escaped paths"},
		"parameters refused":  {toy{around: onPath("colour=red", status(400))}, "parameters"},
		"a timeout that ends": {toy{around: onPath("timeout=never", status(503))}, "parameters"},
		"protobuf refused":    {toy{around: asking("Accept", "protobuf", status(406))}, "accepted types"},
		"always zipped":       {toy{around: altered(func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })}, "compression"},
		"HEAD refused": {toy{around: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusMethodNotAllowed)
					return
				}
				next.ServeHTTP(w, r)
			})
		}}, "HEAD"},
		"paths that are not found": {toy{around: onPath("/nothing", http.NotFound)}, "other paths"},
		"a page as JSON":           {toy{around: onPath(root+"/nodes/node-1", status(200, "Content-Type", "application/json"))}, "other paths"},
		"room for few names": {toy{around: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if len(r.RequestURI) > 50_000 {
					w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
					return
				}
				next.ServeHTTP(w, r)
			})
		}}, "many names"},
		"not healthy": {toy{around: onPath("/healthz", status(503))}, "health"},
		"somebody else's answers": {toy{tell: func(items []toyItem, cpu bool) []toyItem {
			for _, one := range items {
				if one.UIDs[0] == "node-3" && !cpu {
					one.UIDs[0] = "node-1"
				}
			}
			return items
		}}, "a page at once"},
		"a retry": {toy{around: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "1")
				next.ServeHTTP(w, r)
			})
		}}, "no retries"},
	}
	fails := map[string]bool{}
	for name, c := range cases {
		fails[c.want] = true
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a check that waits has time
				if err := failure(t, c.toy, c.want); err == nil {
					t.Errorf("%q passes", c.want)
				}
			})
		})
	}
	for _, c := range checks {
		if !fails[c.name] {
			t.Errorf("nobody fails %q", c.name)
		}
	}
}

// failure is what a check says of a toy.
func failure(t *testing.T, y toy, name string) error {
	t.Helper()
	c, err := Within(y.handler())
	if err != nil {
		t.Fatal(err)
	}
	target := toyTarget(c)
	if name == "no retries" { // it is about what came before
		if err := nodesAsMeasured(t.Context(), &target); err != nil {
			t.Fatal(err)
		}
	}
	i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return checks[i].settle(ctx, &target)
}

// A target that lacks something is not tested.
func TestTargetIncomplete(t *testing.T) {
	good := toyTarget(&Client{})
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Target){
		"client":     func(x *Target) { x.Client = nil },
		"truth":      func(x *Target) { x.Truth = nil },
		"resolution": func(x *Target) { x.Resolution = 0 },
		"window":     func(x *Target) { x.Window = time.Second },
		"pods":       func(x *Target) { x.Pods = x.Pods[:1] },
		"nodes":      func(x *Target) { x.Nodes = nil },
		"names":      func(x *Target) { x.Names = 3 },
	} {
		target := good
		change(&target)
		if err := target.validate(); err == nil {
			t.Errorf("without %s it is tested", name)
		}
	}
}

func ExampleSum() {
	fmt.Println(Sum(Series{{10, 1}, {25, 2}}, Series{{25, 5}, {40, 7}}))
	// Output: [{10 1} {25 7} {40 7}]
}
