package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

const (
	// oldTag and newTag are the images of Rollcall between which a test upgrades.
	oldTag, newTag = "v0.0.1", "v0.0.2"
	rollcall       = "rollcall"
	agents         = "app.kubernetes.io/name=rollcall,app.kubernetes.io/component=agent"
	aggregators    = "app.kubernetes.io/name=rollcall,app.kubernetes.io/component=aggregator"
)

// smallFleet is what manifests/README.md says to change for a few nodes, here
// three: one agent is replaced at a time, instead of 50.
const smallFleet = `
- target: {kind: DaemonSet, name: rollcall-agent}
  patch: |-
    - {op: replace, path: /spec/updateStrategy/rollingUpdate/maxUnavailable, value: 1}
`

// TestRollcall deploys Rollcall as its README says, and then breaks one part of
// the cluster after the other.
func TestRollcall(t *testing.T) {
	c := startCluster(t, cluster.Config{Nodes: 3, Images: build.Choice{Tags: []string{oldTag, newTag}}}, rollcall, "shop", board)
	f := &fleet{env: &env{T: t, c: c}}
	for _, sub := range []struct {
		name string
		run  func(*fleet)
	}{
		{"schema", (*fleet).schema},
		{"deploy", (*fleet).deployed},
		{"answers", (*fleet).answers},
		{"dashboard", (*fleet).dashboard},
		{"restricted", (*fleet).restrictedForReal},
		{"rights of tokens", (*fleet).rights},
		{"unsupported", (*fleet).unsupported},
		{"intruder", (*fleet).intruder},
		{"enrolment", (*fleet).enrolment},
		{"agent killed", (*fleet).agentKilled},
		{"agent deleted", (*fleet).agentDeleted},
		{"node cut off", (*fleet).nodeCutOff},
		{"kubelet stopped", (*fleet).kubeletStopped},
		{"aggregators killed", (*fleet).aggregatorsKilled},
		{"API server stopped", (*fleet).apiServerStopped},
		{"gossip key", (*fleet).gossipKey},
		{"upgrade", (*fleet).upgrade},
		{"persistent", (*fleet).persistent},
	} {
		if !t.Run(sub.name, func(t *testing.T) { sub.run(&fleet{&env{t, c, nil}, f.service}) }) {
			break // what comes after would fail as well
		}
		if f.service == "" && sub.name == "deploy" {
			f.service = f.address()
		}
	}
}

// A fleet is Rollcall on the test's cluster.
type fleet struct {
	*env
	service string // address and port of the Service rollcall-aggregator
}

// manifests is the directory of the manifests.
func (f *fleet) manifests() string {
	dir, err := filepath.Abs("../../manifests")
	if err != nil {
		f.Fatal(err)
	}
	return dir
}

// apply applies the manifests, and waits until what they change is rolled out.
func (f *fleet) apply(m cluster.Manifests) {
	f.Helper()
	m.Dir = f.manifests()
	if err := f.c.Apply(f.Context(), m); err != nil {
		f.Fatal(err)
	}
	f.kubectl(nil, "rollout", "status", "--namespace", rollcall, "daemonset/rollcall-agent", "--timeout=5m")
	f.kubectl(nil, "rollout", "status", "--namespace", rollcall, "deployment/rollcall-aggregator", "--timeout=5m")
}

func (f *fleet) address() string {
	svc, err := f.c.Client.CoreV1().Services(rollcall).Get(f.Context(), "rollcall-aggregator", metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	return fmt.Sprintf("%s:%d", svc.Spec.ClusterIP, svc.Spec.Ports[0].Port)
}

// pods are the pods with these labels that are not on their way out, by name.
func (f *fleet) pods(ctx context.Context, labels string) ([]corev1.Pod, error) {
	list, err := f.c.Client.CoreV1().Pods(rollcall).List(ctx, metav1.ListOptions{LabelSelector: labels})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), nil
}

// agent is the agent's pod on a node.
func (f *fleet) agent(n *cluster.Node) corev1.Pod {
	f.Helper()
	pods, err := f.pods(f.Context(), agents)
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range pods {
		if p.Spec.NodeName == n.Name {
			return p
		}
	}
	f.Fatalf("no agent on %s", n.Name)
	return corev1.Pod{}
}

// spare is a node on which no aggregator runs.
func (f *fleet) spare() *cluster.Node {
	f.Helper()
	pods, err := f.pods(f.Context(), aggregators)
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range f.c.Nodes {
		if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Spec.NodeName == n.Name }) {
			return n
		}
	}
	f.Fatal("aggregators run on all nodes")
	return nil
}

// other is another node.
func (f *fleet) other(n *cluster.Node) *cluster.Node {
	return f.c.Nodes[(slices.Index(f.c.Nodes, n)+1)%len(f.c.Nodes)]
}

// An answer is one of /api/v1.
type answer struct {
	Nodes []struct {
		Name    string
		Metrics []point
	}
	Pods []struct {
		Namespace, Name string
		Containers      []struct {
			Name    string
			Metrics []point
		}
	}
	Coverage struct {
		Expected, Asked, Answered int
		Complete                  bool
		Missing                   []struct{ Node, Outcome, Error string }
		Unsupported               []struct{ Node, Reason string }
	}
}

type point struct{ Timestamp, CPU, Memory int64 }

// node are the points of one node.
func (a *answer) node(name string) []point {
	for _, n := range a.Nodes {
		if n.Name == name {
			return n.Metrics
		}
	}
	return nil
}

// ask asks /api/v1 through the Service, from a node's network.
func (f *fleet) ask(ctx context.Context, from *cluster.Node, path string) (answer, error) {
	var a answer
	body, err := f.get(ctx, from, "http://"+f.service+"/api/v1"+path)
	if err == nil {
		err = json.Unmarshal([]byte(body), &a)
	}
	return a, err
}

// complete waits until all three nodes answer, with a value that is no older than
// since.
func (f *fleet) complete(what string, since time.Time) {
	f.Helper()
	f.eventually(what, func(ctx context.Context) error {
		a, err := f.ask(ctx, f.c.Nodes[0], "/node?window=1m")
		if err != nil {
			return err
		}
		if a.Coverage.Answered != 3 || !a.Coverage.Complete {
			return fmt.Errorf("coverage %+v", a.Coverage)
		}
		for _, n := range a.Nodes {
			if len(n.Metrics) == 0 || n.Metrics[len(n.Metrics)-1].Timestamp < since.Unix() {
				return fmt.Errorf("nothing of %s since %v: %v", n.Name, since.Unix(), n.Metrics)
			}
		}
		return nil
	})
}

// metric is a counter or gauge of a pod, by the beginning of its line; 0 if it is
// not there.
func (f *fleet) metric(p corev1.Pod, line string) float64 {
	f.Helper()
	body, err := f.get(f.Context(), f.c.Nodes[0], "http://"+p.Status.PodIP+":9812/metrics")
	if err != nil {
		f.Fatal(err)
	}
	sum := 0.0
	for text := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(text, line); ok {
			var v float64
			if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v); err == nil {
				sum += v
			}
		}
	}
	return sum
}

// schema checks the manifests before anything runs: kubectl sends them to the API
// server, which refuses what it does not know. It does not know PodMonitors, which
// are checked against their own types.
func (f *fleet) schema() {
	f.kubectl(nil, "create", "namespace", rollcall)
	f.kubectl(nil, "create", "namespace", board)
	for _, components := range [][]string{nil, {"persistent"}, {"kubelet-insecure-tls"}, {"persistent", "kubelet-insecure-tls"}, {"metrics-api-standby"}, {"metrics-api"}, {"dashboard"}} {
		err := f.c.Apply(f.Context(), cluster.Manifests{Dir: f.manifests(), Tag: oldTag, Components: components, DryRun: true})
		if err != nil {
			f.Errorf("with components %v: %v", components, err)
		}
	}
	f.kubectl(nil, "delete", "namespace", rollcall, board)

	text, err := f.c.Render(f.Context(), cluster.Manifests{Dir: f.manifests(), Tag: oldTag, Components: []string{"monitoring"}})
	if err != nil {
		f.Fatal(err)
	}
	monitors := 0
	for document := range strings.SplitSeq(text, "\n---\n") {
		if !strings.Contains(document, "\nkind: PodMonitor\n") {
			continue
		}
		monitors++
		var m monitoring.PodMonitor
		if err := yaml.UnmarshalStrict([]byte(document), &m); err != nil || m.APIVersion != "monitoring.coreos.com/v1" || len(m.Spec.PodMetricsEndpoints) != 1 {
			f.Errorf("%v: %s", err, document)
		}
	}
	if monitors != 2 {
		f.Errorf("%d PodMonitors:\n%s", monitors, text)
	}
}

// deployed deploys it, and tells how long that takes.
func (f *fleet) deployed() {
	began := time.Now()
	f.apply(cluster.Manifests{Tag: oldTag, Patches: smallFleet})
	up := time.Since(began)
	f.service = f.address()
	f.complete("all nodes answer", began)
	f.Logf("rolled out after %v, all nodes answer after %v", up.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	for _, labels := range []string{agents, aggregators} {
		pods, err := f.pods(f.Context(), labels)
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range pods {
			if p.Status.ContainerStatuses[0].RestartCount > 0 {
				f.Errorf("%s was restarted: %+v", p.Name, p.Status.ContainerStatuses[0].LastTerminationState)
			}
		}
	}
	shop, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.kubectl(shop, "apply", "-f", "-")
}

// send sends a request with a bearer token, and returns status and body.
func send(ctx context.Context, client *http.Client, url, token string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}
