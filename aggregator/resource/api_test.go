package resource

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/rollcall-metrics/rollcall/aggregator/pods"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func decode[T any](t *testing.T, c client, path string) (v T) {
	t.Helper()
	rec := c.get(path, "")
	if rec.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, rec.Code, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return v
}

func podNames(l v1beta1.PodMetricsList) (names []string) {
	for _, p := range l.Items {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	return names
}

func TestGetPod(t *testing.T) {
	c := serve(t, newFleet("shop/cart"))
	p := decode[v1beta1.PodMetrics](t, c, "namespaces/shop/pods/cart")
	if p.Kind != "PodMetrics" || p.APIVersion != "metrics.k8s.io/v1beta1" || p.Name != "cart" || p.Namespace != "shop" {
		t.Errorf("object %+v", p.ObjectMeta)
	}
	if p.Timestamp.Unix()%15 != 0 || p.Window.Seconds() != 15 {
		t.Errorf("timestamp %v, window %v", p.Timestamp, p.Window)
	}
	var got []string
	for _, ct := range p.Containers {
		_, swap := ct.Usage[Swap]
		got = append(got, fmt.Sprint(ct.Name, " ", ct.Usage.Cpu(), " ", ct.Usage.Memory(), " ", swap))
	}
	if want := []string{"app 100m 64Mi false", "log 1500u 8Mi false"}; !slices.Equal(got, want) {
		t.Errorf("containers %q, want %q", got, want)
	}
}

func TestNodes(t *testing.T) {
	c := serve(t, newFleet())
	n := decode[v1beta1.NodeMetrics](t, c, "nodes/node-2")
	swap := n.Usage[Swap]
	if n.Usage.Cpu().MilliValue() != 1500 || n.Usage.Memory().Value() != 4<<30 || swap.Value() != 1<<20 || n.Labels["zone"] != "b" {
		t.Errorf("node-2: %v %v", n.Usage, n.Labels)
	}
	for query, want := range map[string]string{
		"":                                      "node-1 node-2",
		"?labelSelector=zone%3Db":               "node-2",
		"?labelSelector=zone+in+(a,b)":          "node-1 node-2",
		"?labelSelector=!zone":                  "",
		"?fieldSelector=metadata.name%3Dnode-1": "node-1",
		"?limit=1":                              "node-1",
	} {
		var names []string
		for _, item := range decode[v1beta1.NodeMetricsList](t, c, "nodes"+query).Items {
			names = append(names, item.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("nodes%s: %q, want %q", query, got, want)
		}
	}
}

func TestSelectors(t *testing.T) {
	f := newFleet("a/one", "a/two", "b/one", "b/three", "c/four")
	c := serve(t, f)
	for query, want := range map[string]string{
		"pods":              "a/one a/two b/one b/three c/four",
		"namespaces/b/pods": "b/one b/three",
		"namespaces/z/pods": "",
		"pods?fieldSelector=metadata.namespace%3Da":                             "a/one a/two",
		"pods?fieldSelector=metadata.namespace!%3Da":                            "b/one b/three c/four",
		"pods?fieldSelector=metadata.name%3Done":                                "a/one b/one",
		"pods?fieldSelector=metadata.name%3Done,metadata.namespace%3Db":         "b/one",
		"namespaces/a/pods?fieldSelector=metadata.name%3Dtwo":                   "a/two",
		"namespaces/a/pods?fieldSelector=metadata.namespace%3Db":                "",
		"pods?fieldSelector=spec.nodeName%3Dnode-2":                             "a/two b/three",
		"namespaces/a/pods?fieldSelector=metadata.name%3Dno-such":               "",
		"pods?labelSelector=app%3Dcart":                                         "",
		"pods?labelSelector=app!%3Dcart":                                        "a/one a/two b/one b/three c/four",
		"namespaces/a/pods?labelSelector=app&fieldSelector=metadata.name%3Dtwo": "",
	} {
		if got := strings.Join(podNames(decode[v1beta1.PodMetricsList](t, c, query)), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, says := range map[string]string{
		"pods?fieldSelector=status.phase%3DRunning": `"status.phase" is none of metadata.name, metadata.namespace, spec.nodeName`,
		"nodes?fieldSelector=spec.nodeName%3Dx":     `"spec.nodeName" is none of metadata.name`,
		"pods?labelSelector=a%3D%3D%3Db":            "unable to parse requirement",
		"pods?continue=nonsense":                    "continue: not a token",
		"pods?limit=-1":                             "limit: -1 is negative",
		"pods?limit=many":                           "many",
	} {
		if rec := c.get(query, ""); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), strings.ReplaceAll(says, `"`, `\"`)) {
			t.Errorf("%s: %d %s; want 400 with %q", query, rec.Code, rec.Body, says)
		}
	}
}

func TestPages(t *testing.T) {
	var all []string
	for i := range 25 {
		all = append(all, fmt.Sprintf("ns-%d/pod-%02d", i/10, i))
	}
	f := newFleet(all...)
	f.pods[24].UID = "another" // the last one was not measured
	c := serve(t, f)
	for _, limit := range []int{1, 5, 7, 10, 23, 24, 25, 100} {
		var got []string
		pages, token := 0, ""
		for pages = 1; ; pages++ {
			list := decode[v1beta1.PodMetricsList](t, c, fmt.Sprintf("pods?limit=%d&continue=%s", limit, url.QueryEscape(token)))
			got = append(got, podNames(list)...)
			if token = list.Continue; token == "" {
				break
			}
			if len(list.Items) != limit {
				t.Fatalf("limit %d: a page of %d that is not the last", limit, len(list.Items))
			}
		}
		if !slices.Equal(got, all[:24]) || pages != (23+limit)/limit {
			t.Errorf("limit %d: %d pages, %q", limit, pages, got)
		}
	}
	token := decode[v1beta1.PodMetricsList](t, c, "pods?limit=1").Continue
	if rec := c.get("nodes?continue="+token, ""); rec.Code != http.StatusBadRequest {
		t.Errorf("a token of pods is taken for one of nodes: %d", rec.Code)
	}
}

// Whoever gets no metrics learns why.
func TestNotFound(t *testing.T) {
	f := newFleet("shop/cart", "shop/till", "shop/young", "shop/moved", "shop/half", "shop/growing", "shop/bad")
	f.nodes = append(f.nodes, "node-3")
	f.unsupported = map[string]string{"virtual": "no Linux"}
	f.fault["node-3"] = errSilent
	f.pods[1].Node = "node-3"
	f.pods[2].UID, f.pods[2].Name, f.pods[2].Node = "x", "younger", "node-1"
	f.pods[3].UID = "uid-of-another"
	group := func(name string) *model.Group {
		for _, groups := range f.said {
			for _, g := range groups {
				if g.Pod.Name == name {
					return g
				}
			}
		}
		t.Fatal(name)
		return nil
	}
	group("half").Samples[1].Unset(model.CPU)
	group("growing").Samples = group("growing").Samples[:1]
	group("bad").Samples[0].Unset(model.WorkingSet)
	slices.SortFunc(f.pods, func(a, b *pods.Pod) int { return strings.Compare(a.Name, b.Name) })
	c := serve(t, f)
	for path, says := range map[string]string{
		"namespaces/shop/pods/none":    `podmetrics.metrics.k8s.io "shop/none" not found: there is no running pod of that name`,
		"namespaces/shop/pods/till":    `podmetrics.metrics.k8s.io "shop/till" not found: node node-3: timeout (no answer within 1.5s)`,
		"namespaces/shop/pods/younger": `podmetrics.metrics.k8s.io "shop/younger" not found: the kubelet of node node-1 has not measured it yet`,
		"namespaces/shop/pods/moved":   `podmetrics.metrics.k8s.io "shop/moved" not found: the kubelet of node node-2 still reports another pod of that name, with UID uid-moved instead of uid-of-another`,
		"namespaces/shop/pods/half":    `podmetrics.metrics.k8s.io "shop/half" not found: container log: its CPU was measured only once so far`,
		"namespaces/shop/pods/growing": `podmetrics.metrics.k8s.io "shop/growing" not found: container log has started, and was not measured yet`,
		"namespaces/shop/pods/bad":     `podmetrics.metrics.k8s.io "shop/bad" not found: container app: the kubelet does not say how much memory it uses`,
		"nodes/node-3":                 `nodemetrics.metrics.k8s.io "node-3" not found: node node-3: timeout (no answer within 1.5s)`,
		"nodes/virtual":                `nodemetrics.metrics.k8s.io "virtual" not found: node virtual cannot run the agent: no Linux`,
		"nodes/none":                   `nodemetrics.metrics.k8s.io "none" not found: there is no node none`,
	} {
		rec := c.get(path, "")
		var status metav1.Status
		if err := json.Unmarshal(rec.Body.Bytes(), &status); err != nil || rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
			continue
		}
		if status.Message != says || status.Reason != metav1.StatusReasonNotFound {
			t.Errorf("%s:\n  %s\nwant\n  %s", path, status.Message, says)
		}
	}
	rec := c.get("namespaces/shop/pods", "")
	if got := rec.Header().Values("Warning"); len(got) != 1 || got[0] != `299 - "1 pods left out: node node-3: timeout (no answer within 1.5s)"` {
		t.Errorf("warning %q", got)
	}
	if got := podNames(decode[v1beta1.PodMetricsList](t, c, "namespaces/shop/pods")); !slices.Equal(got, []string{"shop/cart"}) {
		t.Errorf("pods %q", got)
	}
}

// Without a fleet, discovery works all the same, and lists say what is missing.
func TestBeforeThereIsAFleet(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fleet)
		path   string
		want   int
	}{
		"no agent alive":    {func(f *fleet) { f.fault["node-1"], f.fault["node-2"] = errSilent, errSilent }, "pods", http.StatusOK},
		"no node":           {func(f *fleet) { f.nodes, f.pods = nil, nil }, "nodes", http.StatusOK},
		"no pod":            {func(f *fleet) { f.pods = nil }, "pods", http.StatusOK},
		"pods not known":    {func(f *fleet) { f.synced = errSilent }, "pods", http.StatusServiceUnavailable},
		"pods not needed":   {func(f *fleet) { f.synced = errSilent }, "nodes", http.StatusOK},
		"roster not joined": {func(f *fleet) { f.joined = errSilent }, "nodes", http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet("shop/cart")
			c.change(f)
			cl := serve(t, f)
			if got := decode[metav1.APIResourceList](t, cl, "/apis/metrics.k8s.io/v1beta1"); len(got.APIResources) != 2 {
				t.Errorf("discovery %+v", got)
			}
			rec := cl.get(c.path, "")
			if rec.Code != c.want {
				t.Errorf("%s: %d %s, want %d", c.path, rec.Code, rec.Body, c.want)
			}
			if c.want == http.StatusServiceUnavailable && (!strings.Contains(rec.Body.String(), errSilent.Error()) || rec.Header().Get("Retry-After") != "") {
				t.Errorf("%s %v", rec.Body, rec.Header())
			}
		})
	}
}
