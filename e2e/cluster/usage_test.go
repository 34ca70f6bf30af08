package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

// usageNamespace has the pods of testdata/usage.yaml.
const usageNamespace = "usage"

// mebibyte is what amounts of memory are compared in.
const mebibyte = 1 << 20

// A usage is a cluster with metrics.k8s.io, whoever serves that, and with pods whose
// usage is known. Its checks are those of metrics-server's own end-to-end tests,
// written anew.
type usage struct {
	*fleet
	metrics metrics.MetricsV1beta1Interface
}

func newUsage(t *testing.T, c *cluster.Cluster) *usage {
	u := &usage{fleet: &fleet{env: &env{T: t, c: c}}}
	u.metrics = u.asker(c.REST)
	return u
}

// asker is a client of metrics.k8s.io, wherever the configuration leads. It asks in
// protobuf, as controllers do, and as often as it is told to. It does not print
// warnings, which would be ten a second while a node is away.
func (u *usage) asker(to *rest.Config) metrics.MetricsV1beta1Interface {
	u.Helper()
	cfg := rest.CopyConfig(to)
	cfg.QPS = -1
	cfg.WarningHandler = rest.NoWarnings{}
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := metrics.NewForConfig(cfg)
	if err != nil {
		u.Fatal(err)
	}
	return client
}

// An apiService is what is looked at of an APIService.
type apiService struct {
	Spec struct {
		Service               struct{ Namespace, Name string }
		InsecureSkipTLSVerify bool
		CABundle              []byte
	}
	Status struct{ Conditions []metav1.Condition }
}

// apiService is that of metrics.k8s.io.
func (u *usage) apiService(ctx context.Context) (s apiService, err error) {
	text, err := u.raw(ctx, "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// available says why a Service is not what is asked for metrics, or nil.
func (u *usage) available(ctx context.Context, service string) error {
	s, err := u.apiService(ctx)
	if err != nil {
		return err
	}
	if s.Spec.Service.Name != service {
		return fmt.Errorf("it leads to %+v", s.Spec.Service)
	}
	for _, c := range s.Status.Conditions {
		if c.Type == "Available" && c.Status == metav1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("%+v", s.Status.Conditions)
}

// serves waits until a Service serves, with values of all nodes and pods.
func (u *usage) serves(service string) {
	u.Helper()
	began := time.Now()
	u.eventually("the APIService is available by "+service, func(ctx context.Context) error { return u.available(ctx, service) })
	available := time.Since(began)
	u.eventually("values of all nodes and pods", u.all)
	u.Logf("%s: available after %v, all values after %v", service, available.Round(100*time.Millisecond), time.Since(began).Round(100*time.Millisecond))
}

// all says what has no values yet, of nodes and of pods that are not scaled.
func (u *usage) all(ctx context.Context) error {
	nodes, err := u.metrics.NodeMetricses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := u.metrics.PodMetricses(usageNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var missing []string
	for _, n := range u.c.Nodes {
		if !slices.ContainsFunc(nodes.Items, func(m v1beta1.NodeMetrics) bool { return m.Name == n.Name }) {
			missing = append(missing, n.Name)
		}
	}
	for _, name := range []string{"cpu", "memory", "init", "two", "sidecar"} {
		if !slices.ContainsFunc(pods.Items, func(m v1beta1.PodMetrics) bool { return m.Name == name }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("nothing of %s", strings.Join(missing, ", "))
	}
	return nil
}

// everything checks that each node and each pod that runs has metrics.
func (u *usage) everything() {
	for _, n := range u.c.Nodes {
		m, err := u.metrics.NodeMetricses().Get(u.Context(), n.Name, metav1.GetOptions{})
		if err != nil {
			u.Errorf("%s: %v", n.Name, err)
		} else if m.Usage.Cpu().MilliValue() < 1 || m.Usage.Memory().Value() < mebibyte || m.Window.Duration < time.Second || m.Timestamp.IsZero() {
			u.Errorf("%s: %+v", n.Name, m)
		}
	}
	all, err := u.metrics.PodMetricses("").List(u.Context(), metav1.ListOptions{})
	if err != nil || len(all.Items) == 0 {
		u.Fatalf("%d pods, %v", len(all.Items), err)
	}
	namespaces := map[string]int{}
	for _, m := range all.Items {
		namespaces[m.Namespace]++
	}
	if namespaces[usageNamespace] < 5 || namespaces["kube-system"] < 2 {
		u.Errorf("pods of all namespaces are %v", namespaces)
	}
	u.Logf("pods with metrics: %v", namespaces)
}

// containers waits until a pod has metrics that are good, and checks that they are of
// these containers.
func (u *usage) containers(pod string, good func(map[string]v1beta1.ContainerMetrics) error, names ...string) {
	u.Helper()
	began := time.Now()
	u.eventually("the pod "+pod, func(ctx context.Context) error {
		m, err := u.metrics.PodMetricses(usageNamespace).Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		var have []string
		all := map[string]v1beta1.ContainerMetrics{}
		for _, c := range m.Containers {
			have = append(have, c.Name)
			all[c.Name] = c
			if c.Usage.Cpu().IsZero() || c.Usage.Memory().IsZero() {
				return fmt.Errorf("%s uses %v", c.Name, c.Usage)
			}
		}
		if slices.Sort(have); !slices.Equal(have, names) {
			return fmt.Errorf("it has the containers %v, want %v", have, names)
		}
		return good(all)
	})
	u.Logf("%s after %v", pod, time.Since(began).Round(100*time.Millisecond))
}

// within checks the CPU of containers, in thousandths of a core.
func within(slack int64, want map[string]int64) func(map[string]v1beta1.ContainerMetrics) error {
	return func(have map[string]v1beta1.ContainerMetrics) error {
		for name, cpu := range want {
			if c := have[name]; c.Usage.Cpu().MilliValue() < cpu-slack || c.Usage.Cpu().MilliValue() > cpu+slack {
				return fmt.Errorf("%s uses %v, want %dm", name, c.Usage.Cpu(), cpu)
			}
		}
		return nil
	}
}

func (u *usage) ofPods() {
	u.containers("cpu", within(10, map[string]int64{"burn": 50}), "burn")
	u.containers("memory", func(have map[string]v1beta1.ContainerMetrics) error {
		c := have["burn"]
		if m := c.Usage.Memory().Value(); m < 45*mebibyte || m > 55*mebibyte {
			return fmt.Errorf("%d bytes", m)
		}
		return nil
	}, "burn")
	u.containers("init", within(10, map[string]int64{"app": 20}), "app")
	u.containers("two", within(10, map[string]int64{"left": 20, "right": 30}), "left", "right")
	u.containers("sidecar", within(10, map[string]int64{"app": 20, "proxy": 30}), "app", "proxy")
}
