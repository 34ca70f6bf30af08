package ideal

import (
	"context"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// A readOnly resource has what it answers; the parts that do not ask are [rest]'s of
// all read-only resources.
type readOnly struct {
	kind       string
	namespaced bool
	one, many  func() runtime.Object
	object     func(namespace, name string) (runtime.Object, bool)
	list       func(namespace, selector string) runtime.Object
	rest.TableConvertor
}

var _ = interface {
	rest.Lister
	rest.Getter
	rest.Scoper
	rest.KindProvider
	rest.SingularNameProvider
}(&readOnly{})

// New implements [rest.Storage], as the methods that follow do the other interfaces.
func (r *readOnly) New() runtime.Object { return r.one() }

func (r *readOnly) NewList() runtime.Object { return r.many() }

func (*readOnly) Destroy() {}

func (r *readOnly) Kind() string { return r.kind }

func (*readOnly) GetSingularName() string { return "" }

func (r *readOnly) NamespaceScoped() bool { return r.namespaced }

func (r *readOnly) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	o, ok := r.object(request.NamespaceValue(ctx), name)
	if !ok {
		return nil, apierrors.NewNotFound(metrics.Resource(r.kind), name)
	}
	return o, nil
}

func (r *readOnly) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	selector := ""
	if options != nil && options.LabelSelector != nil {
		selector = options.LabelSelector.String()
	}
	return r.list(request.NamespaceValue(ctx), selector), nil
}

func newNodes(recorded *v1beta1.NodeMetricsList) *readOnly {
	all := new(metrics.NodeMetricsList)
	_ = v1beta1.Convert_v1beta1_NodeMetricsList_To_metrics_NodeMetricsList(recorded, all, nil) // it has no way to fail
	byName := map[string]*metrics.NodeMetrics{}
	for i := range all.Items {
		asMeasured(all.Items[i].Usage)
		byName[all.Items[i].Name] = &all.Items[i]
	}
	return &readOnly{
		kind: "NodeMetrics", TableConvertor: rest.NewDefaultTableConvertor(metrics.Resource("nodes")),
		one:  func() runtime.Object { return new(metrics.NodeMetrics) },
		many: func() runtime.Object { return new(metrics.NodeMetricsList) },
		object: func(_, name string) (runtime.Object, bool) {
			m, ok := byName[name]
			return m, ok
		},
		list: func(string, string) runtime.Object {
			answer := *all
			return &answer
		},
	}
}

// A question is a namespace and a selector of an application; both are empty for all.
type question struct{ namespace, selector string }

func newPods(recorded *v1beta1.PodMetricsList) *readOnly {
	all := new(metrics.PodMetricsList)
	_ = v1beta1.Convert_v1beta1_PodMetricsList_To_metrics_PodMetricsList(recorded, all, nil)
	lists := map[question]*metrics.PodMetricsList{{}: all}
	byName := map[question]*metrics.PodMetrics{}
	for i := range all.Items {
		m := &all.Items[i]
		for _, c := range m.Containers {
			asMeasured(c.Usage)
		}
		byName[question{m.Namespace, m.Name}] = m
		q := question{m.Namespace, "app=" + m.Labels["app"]}
		if lists[q] == nil {
			lists[q] = new(metrics.PodMetricsList)
		}
		lists[q].Items = append(lists[q].Items, *m)
	}
	return &readOnly{
		kind: "PodMetrics", namespaced: true, TableConvertor: rest.NewDefaultTableConvertor(metrics.Resource("pods")),
		one:  func() runtime.Object { return new(metrics.PodMetrics) },
		many: func() runtime.Object { return new(metrics.PodMetricsList) },
		object: func(namespace, name string) (runtime.Object, bool) {
			m, ok := byName[question{namespace, name}]
			return m, ok
		},
		list: func(namespace, selector string) runtime.Object {
			answer := metrics.PodMetricsList{}
			if known := lists[question{namespace, selector}]; known != nil {
				answer = *known
			}
			return &answer
		},
	}
}

// asMeasured makes quantities what they are when they come from measurements: a
// number. Those that were read have their text, too, which no measurement has.
func asMeasured(usage core.ResourceList) {
	for name, q := range usage {
		if name == core.ResourceCPU {
			usage[name] = *resource.NewScaledQuantity(q.ScaledValue(resource.Nano), resource.Nano)
		} else {
			usage[name] = *resource.NewQuantity(q.Value(), q.Format)
		}
	}
}
