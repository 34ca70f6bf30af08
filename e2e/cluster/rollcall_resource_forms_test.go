package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const groupVersion = "/apis/metrics.k8s.io/v1beta1"

// table is what kubectl printed, in words, without the header, which is checked.
func (u *usage) table(header string, args ...string) (rows [][]string) {
	u.Helper()
	lines := strings.Split(strings.TrimSpace(u.kubectl(nil, args...)), "\n")
	if got := strings.Join(strings.Fields(lines[0]), " "); got != header {
		u.Errorf("kubectl %s: %q, want %q", strings.Join(args, " "), got, header)
	}
	for _, line := range lines[1:] {
		rows = append(rows, strings.Fields(line))
	}
	return rows
}

// names are the words of one column.
func names(rows [][]string, column int) (words []string) {
	for _, row := range rows {
		if len(row) > column {
			words = append(words, row[column])
		}
	}
	return words
}

// top asks as people do.
func (u *usage) top() {
	nodes := u.table("NAME CPU(cores) CPU(%) MEMORY(bytes) MEMORY(%)", "top", "nodes")
	if got := names(nodes, 0); !slices.Equal(got, []string{"node-1", "node-2", "node-3"}) || strings.Contains(fmt.Sprint(nodes), "unknown") {
		u.Errorf("top nodes: %v", nodes)
	}
	const header = "NAME CPU(cores) MEMORY(bytes)"
	if pods := u.table("NAMESPACE "+header, "top", "pods", "-A"); !slices.Contains(names(pods, 0), "kube-system") || !slices.Contains(names(pods, 1), "cpu") {
		u.Errorf("top pods -A: %v", pods)
	}
	in := []string{"top", "pods", "--namespace", usageNamespace}
	if got := names(u.table("POD NAME CPU(cores) MEMORY(bytes)", append(in, "--containers", "-l", "app in (two,sidecar)")...), 1); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"app", "left", "proxy", "right"}) {
		u.Errorf("top pods --containers: %v", got)
	}
	if got := names(u.table(header, append(in, "-l", "app=two")...), 0); !slices.Equal(got, []string{"two"}) {
		u.Errorf("top pods -l app=two: %v", got)
	}
	if got := names(u.table(header, append(in, "--sort-by=memory")...), 0); len(got) < 5 || got[0] != "memory" {
		u.Errorf("top pods --sort-by=memory: %v", got)
	}
	last := 1 << 30
	for _, word := range names(u.table(header, append(in, "--sort-by=cpu")...), 1) {
		cpu, err := strconv.Atoi(strings.TrimSuffix(word, "m"))
		if err != nil || cpu > last {
			u.Errorf("top pods --sort-by=cpu: %s after %d, %v", word, last, err)
		}
		last = cpu
	}
	if got := u.table(header+" SWAP(bytes)", append(in, "--show-swap")...); len(got) < 5 {
		u.Errorf("top pods --show-swap: %v", got)
	} else {
		u.Logf("top pods --show-swap: %v", got)
	}
}

// tables asks with kubectl get.
func (u *usage) tables() {
	const header = "NAME CPU MEMORY WINDOW"
	if got := names(u.table(header, "get", "nodemetrics"), 0); !slices.Equal(got, []string{"node-1", "node-2", "node-3"}) {
		u.Errorf("get nodemetrics: %v", got)
	}
	rows := u.table("NAMESPACE "+header, "get", "podmetrics", "-A")
	if !slices.IsSortedFunc(rows, func(a, b []string) int { return strings.Compare(a[0]+"\x00"+a[1], b[0]+"\x00"+b[1]) }) {
		u.Errorf("get podmetrics -A is in no order: %v", rows)
	}
	both := u.kubectl(nil, "get", "nodemetrics,podmetrics", "-A", "-o", "name")
	for _, want := range []string{"nodemetrics.metrics.k8s.io/node-1\n", "podmetrics.metrics.k8s.io/cpu\n"} {
		if !strings.Contains(both, want) {
			u.Errorf("get nodemetrics,podmetrics -o name: %s", both)
		}
	}
}

// explain asks for the types, as kubectl explain does. The API server asks for them
// each minute or so.
func (u *usage) explain() {
	u.eventually("explain", func(ctx context.Context) error {
		out, err := u.c.Kubectl(ctx, nil, "explain", "podmetrics.containers.usage")
		if err == nil && !strings.Contains(out, "PodMetrics") {
			err = errors.New(out)
		}
		return err
	})
}

// discovery asks what there is, as clients do that know nothing.
func (u *usage) discovery() {
	var list metav1.APIResourceList
	u.decode(groupVersion, "", &list)
	have := map[string][]string{}
	for _, r := range list.APIResources {
		have[fmt.Sprintf("%s %s namespaced=%t", r.Name, r.Kind, r.Namespaced)] = r.Verbs
	}
	for _, want := range []string{"nodes NodeMetrics namespaced=false", "pods PodMetrics namespaced=true"} {
		if !slices.Equal(have[want], []string{"get", "list"}) || len(have) != 2 {
			u.Errorf("discovery: %v", have)
		}
	}
	// The API server asks for it now and then.
	u.eventually("aggregated discovery", func(context.Context) error {
		var groups apidiscovery.APIGroupDiscoveryList
		u.decode("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", &groups)
		for _, g := range groups.Items {
			if g.Name == v1beta1.GroupName && len(g.Versions) == 1 && g.Versions[0].Freshness == apidiscovery.DiscoveryFreshnessCurrent && len(g.Versions[0].Resources) == 2 {
				return nil
			}
		}
		return fmt.Errorf("%+v", groups.Items)
	})
	u.eventually("OpenAPI v2", func(context.Context) error {
		var v2 struct{ Definitions map[string]any }
		u.decode("/openapi/v2", "", &v2)
		return typed(v2.Definitions)
	})
	u.eventually("OpenAPI v3", func(ctx context.Context) error {
		var v3 struct {
			Components struct{ Schemas map[string]any }
		}
		text, err := u.raw(ctx, "/openapi/v3"+groupVersion)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &v3); err != nil {
			return err
		}
		return typed(v3.Components.Schemas)
	})
}

func typed(types map[string]any) error {
	for _, kind := range []string{"NodeMetrics", "NodeMetricsList", "PodMetrics", "PodMetricsList", "ContainerMetrics"} {
		if types["io.k8s.metrics.pkg.apis.metrics.v1beta1."+kind] == nil {
			return fmt.Errorf("%s is not among %d types", kind, len(types))
		}
	}
	return nil
}

// decode gets a path of the API server, in a form if one is given.
func (u *usage) decode(path, accept string, into any) {
	u.Helper()
	req := u.c.Client.CoreV1().RESTClient().Get().AbsPath(path)
	if accept != "" {
		req.SetHeader("Accept", accept)
	}
	text, err := req.DoRaw(u.Context())
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		u.Fatalf("%s: %v", path, err)
	}
}

// refusals asks for what is not there.
func (u *usage) refusals() {
	client := u.c.Client.CoreV1().RESTClient()
	in := groupVersion + "/namespaces/" + usageNamespace + "/pods"
	for _, tt := range []struct {
		verb, path, parameter, value string
		want                         int
	}{
		{"GET", in, "watch", "true", http.StatusMethodNotAllowed},
		{"GET", groupVersion + "/nodes", "watch", "true", http.StatusMethodNotAllowed},
		{"DELETE", in + "/cpu", "", "", http.StatusMethodNotAllowed},
		{"POST", in, "", "", http.StatusMethodNotAllowed},
		{"GET", in, "fieldSelector", "status.phase=Running", http.StatusBadRequest},
		{"GET", in, "labelSelector", "app in (", http.StatusBadRequest},
		{"GET", in, "continue", "rubbish", http.StatusBadRequest},
		{"GET", in + "/nobody", "", "", http.StatusNotFound},
		{"GET", groupVersion + "/nodes/nobody", "", "", http.StatusNotFound},
		{"GET", groupVersion + "/others", "", "", http.StatusNotFound},
	} {
		req := client.Verb(tt.verb).AbsPath(tt.path)
		if tt.parameter != "" {
			req.Param(tt.parameter, tt.value)
		}
		var status int
		err := req.Do(u.Context()).StatusCode(&status).Error()
		if status != tt.want || err == nil {
			u.Errorf("%s %s %s=%s: %d, want %d: %v", tt.verb, tt.path, tt.parameter, tt.value, status, tt.want, err)
		}
		u.Logf("%s %s %s=%s: %d %v", tt.verb, strings.TrimPrefix(tt.path, groupVersion), tt.parameter, tt.value, status, err)
	}
}

// listed are the names of the pods that a list has.
func (u *usage) listed(namespace string, options metav1.ListOptions) (names []string) {
	u.Helper()
	list, err := u.metrics.PodMetricses(namespace).List(u.Context(), options)
	if err != nil {
		u.Fatalf("%+v: %v", options, err)
	}
	for _, m := range list.Items {
		names = append(names, m.Namespace+"/"+m.Name)
	}
	return names
}

// selected asks for some of the pods.
func (u *usage) selected() {
	own := []string{usageNamespace + "/cpu"}
	for _, o := range []metav1.ListOptions{
		{FieldSelector: "metadata.name=cpu"},
		{FieldSelector: "metadata.namespace=usage,metadata.name=cpu"},
		{LabelSelector: "app=cpu"},
		{LabelSelector: "app in (cpu,nobody),!other"},
	} {
		if got := u.listed(usageNamespace, o); !slices.Equal(got, own) {
			u.Errorf("%+v: %v", o, got)
		}
	}
	if got := u.listed("", metav1.ListOptions{FieldSelector: "metadata.namespace=usage", LabelSelector: "app=cpu"}); !slices.Equal(got, own) {
		u.Errorf("of all namespaces: %v", got)
	}
	if got := u.listed(usageNamespace, metav1.ListOptions{LabelSelector: "app=nobody"}); len(got) > 0 {
		u.Errorf("of nobody: %v", got)
	}
	for _, n := range u.c.Nodes {
		running, err := u.c.Client.CoreV1().Pods("").List(u.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running,spec.nodeName=" + n.Name})
		if err != nil {
			u.Fatal(err)
		}
		got := u.listed("", metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name})
		for _, name := range got {
			if !slices.ContainsFunc(running.Items, func(p corev1.Pod) bool { return p.Namespace+"/"+p.Name == name }) {
				u.Errorf("%s is not on %s", name, n.Name)
			}
		}
		if len(got) == 0 {
			u.Errorf("nothing on %s", n.Name)
		}
	}
	u.kubectl(nil, "label", "pod", "--namespace", usageNamespace, "cpu", "tier=gold")
	began := time.Now()
	u.eventually("the new label counts", func(context.Context) error {
		if got := u.listed(usageNamespace, metav1.ListOptions{LabelSelector: "tier=gold"}); !slices.Equal(got, own) {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	u.Logf("a new label counts after %v", time.Since(began).Round(time.Millisecond))
}

// pages asks for a few at a time.
func (u *usage) pages() {
	whole := u.listed("", metav1.ListOptions{})
	var paged []string
	o := metav1.ListOptions{Limit: 3}
	for pages := 0; pages == 0 || o.Continue != ""; pages++ {
		list, err := u.metrics.PodMetricses("").List(u.Context(), o)
		if err != nil {
			u.Fatal(err)
		}
		if len(list.Items) > 3 || pages > len(whole) {
			u.Fatalf("page %d has %d", pages, len(list.Items))
		}
		for _, m := range list.Items {
			paged = append(paged, m.Namespace+"/"+m.Name)
		}
		o.Continue = list.Continue
	}
	if !slices.Equal(paged, whole) || !slices.IsSorted(whole) {
		u.Errorf("in pages: %v, at once: %v", paged, whole)
	}
	var partial metav1.PartialObjectMetadataList
	u.decode(groupVersion+"/pods", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", &partial)
	if partial.Kind != "PartialObjectMetadataList" || len(partial.Items) != len(whole) || len(partial.Items[0].Labels) == 0 {
		u.Errorf("metadata: %s of %d", partial.Kind, len(partial.Items))
	}
}
