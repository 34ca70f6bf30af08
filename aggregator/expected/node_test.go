package expected

import (
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
)

// realistic is a node as a cloud's are: 24 labels, 50 images with two names each.
func realistic(i int) *corev1.Node {
	name := fmt.Sprintf("node-%04d", i)
	n := nodeWith(name, "kubernetes.io/arch=amd64", "kubernetes.io/hostname="+name,
		"topology.kubernetes.io/region=eu-west-1", fmt.Sprintf("topology.kubernetes.io/zone=eu-west-1%c", 'a'+i%3),
		"node.kubernetes.io/instance-type=m7i.2xlarge", fmt.Sprintf("example.com/provider-id=i-%017x", i))
	for j := range 17 {
		n.Labels[fmt.Sprintf("feature.node.kubernetes.io/cpu-cpuid.FEATURE%02d", j)] = "true"
	}
	n.Annotations = map[string]string{"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true"}
	n.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(strings.Repeat("f", 4<<10))}}
	n.Spec.ProviderID = fmt.Sprintf("aws:///eu-west-1a/i-%017x", i)
	if i%10 == 0 {
		n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "gpu", Effect: corev1.TaintEffectNoSchedule, TimeAdded: &metav1.Time{}}}
	}
	for j := range 50 {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{SizeBytes: 1 << 28, Names: []string{
			fmt.Sprintf("registry.example.com/team-%02d/service@sha256:%064x", j, i*50+j), fmt.Sprintf("registry.example.com/team-%02d/service:v1.2.%d", j, j),
		}})
	}
	return n
}

func TestStrip(t *testing.T) {
	n := realistic(0)
	n.ResourceVersion = "7"
	want := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels, ResourceVersion: "7"},
		Spec:       corev1.NodeSpec{Taints: n.Spec.Taints},
	}
	if strip(n); !reflect.DeepEqual(n, want) {
		t.Errorf("left is %+v", n)
	}
}

func TestKept(t *testing.T) {
	n := realistic(0)
	kept := nodeOf(n)
	full := kept.full(n.Name)
	if !reflect.DeepEqual(full.Labels, n.Labels) || len(full.Labels) != 24 {
		t.Errorf("labels %v", full.Labels)
	}
	if want := []corev1.Taint{{Key: "dedicated", Value: "gpu", Effect: corev1.TaintEffectNoSchedule}}; !reflect.DeepEqual(full.Spec.Taints, want) {
		t.Errorf("taints %v", full.Spec.Taints)
	}
	for name, tc := range map[string]struct {
		change func(*corev1.Node)
		same   bool
	}{
		"status":     {func(n *corev1.Node) { n.Status = corev1.NodeStatus{} }, true},
		"annotation": {func(n *corev1.Node) { n.Annotations["a"] = "b" }, true},
		"label":      {func(n *corev1.Node) { n.Labels["a"] = "b" }, false},
		"no label":   {func(n *corev1.Node) { delete(n.Labels, "kubernetes.io/os") }, false},
		"value":      {func(n *corev1.Node) { n.Labels["kubernetes.io/os"] = "plan9" }, false},
		"taint":      {func(n *corev1.Node) { n.Spec.Taints[0].Value = "cpu" }, false},
		"no taint":   {func(n *corev1.Node) { n.Spec.Taints = nil }, false},
	} {
		changed := realistic(0)
		tc.change(changed)
		if got := kept.same(nodeOf(changed)); got != tc.same {
			t.Errorf("%s: same is %v", name, got)
		}
	}
}

// BenchmarkKept is what is left on the heap of 5000 nodes, and what it takes to
// take them over and to judge them.
func BenchmarkKept(b *testing.B) {
	const nodes = 5000
	var kept uint64
	for b.Loop() {
		b.StopTimer()
		reg := prometheus.NewRegistry()
		c := NewCluster(ClusterConfig{}, fallback{}, follow.NewMetrics(reg), slog.New(slog.DiscardHandler), reg)
		agentStore{c}.setRule(newRule(daemonSet(ours())))
		before := heap()
		var list []any
		for i := range nodes {
			list = append(list, realistic(i))
		}
		b.StartTimer()
		if err := (nodeStore{c}).Replace(list); err != nil {
			b.Fatal(err)
		}
		c.latest()
		b.StopTimer()
		kept = heap() - before
		runtime.KeepAlive(c)
		b.StartTimer()
	}
	b.ReportMetric(float64(kept)/nodes, "B/node")
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
