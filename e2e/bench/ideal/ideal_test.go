package ideal

import (
	"bytes"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

func pod(namespace, name, app string) v1beta1.PodMetrics {
	return v1beta1.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}},
		Containers: []v1beta1.ContainerMetrics{{Name: "main", Usage: core.ResourceList{
			core.ResourceCPU: resource.MustParse("1234567n"), core.ResourceMemory: resource.MustParse("5000Ki"),
		}}},
	}
}

// What was recorded comes back by application, and all of it.
func TestPods(t *testing.T) {
	recorded := &v1beta1.PodMetricsList{Items: []v1beta1.PodMetrics{pod("a", "x-1", "x"), pod("a", "x-2", "x"), pod("a", "y-1", "y"), pod("b", "x-1", "x")}}
	var answer bytes.Buffer
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	recorded.SetGroupVersionKind(v1beta1.SchemeGroupVersion.WithKind("PodMetricsList"))
	if err := protobuf.NewSerializer(scheme, scheme).Encode(recorded, &answer); err != nil {
		t.Fatal(err)
	}
	var read v1beta1.PodMetricsList
	if err := Decode(answer.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	s := newPods(&read)
	for name, c := range map[string]struct {
		namespace, selector string
		want                int
	}{
		"all": {"", "", 4}, "an application": {"a", "app=x", 2}, "of another namespace": {"b", "app=x", 1}, "none": {"b", "app=y", 0},
	} {
		selector, err := labels.Parse(c.selector)
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.List(request.WithNamespace(t.Context(), c.namespace), &internalversion.ListOptions{LabelSelector: selector})
		if err != nil {
			t.Fatal(err)
		}
		list := o.(*metrics.PodMetricsList)
		if len(list.Items) != c.want {
			t.Errorf("%s: %d pods, want %d", name, len(list.Items), c.want)
		}
	}
	o, err := s.Get(request.WithNamespace(t.Context(), "a"), "y-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	usage := o.(*metrics.PodMetrics).Containers[0].Usage
	if cpu, memory := usage[core.ResourceCPU], usage[core.ResourceMemory]; cpu.String() != "1234567n" || memory.String() != "5000Ki" {
		t.Errorf("usage %v", usage)
	}
	if _, err := s.Get(request.WithNamespace(t.Context(), "b"), "y-1", nil); err == nil {
		t.Error("there is a pod that was not recorded")
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, answer := range []string{"", "{}", magic + "\xff"} {
		if err := Decode([]byte(answer), &v1beta1.PodMetricsList{}); err == nil {
			t.Errorf("%q was read", answer)
		}
	}
}
