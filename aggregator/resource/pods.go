package resource

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/rollcall-metrics/rollcall/aggregator/pods"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
)

// readers are used again and again: they know the names of containers.
var readers = sync.Pool{New: func() any { return new(reader) }}

// podStorage is PodMetrics, read-only.
type podStorage struct {
	readOnly
	fleet   *Fleet
	metrics *serverMetrics
	rooms   *rooms
}

// Get returns the metrics of a pod, or a 404 that says why there are none.
func (s podStorage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	namespace := request.NamespaceValue(ctx)
	view, err := s.fleet.view(ctx, s.fleet.Pods.Synced)
	if err != nil {
		return nil, err
	}
	full := namespace + "/" + name
	p, ok := s.fleet.Pods.Get(namespace, name)
	if !ok {
		return nil, notFound(metrics.Resource("podmetrics"), full, "there is no running pod of that name")
	}
	b := builder{reader: readers.Get().(*reader)}
	defer readers.Put(b.reader)
	m := new(metrics.PodMetrics)
	if err := b.pod(view, p, m); err != nil {
		why := err.Error()
		if b.nothing {
			why = s.fleet.whyPod(view, p)
		}
		return nil, notFound(metrics.Resource("podmetrics"), full, why)
	}
	s.metrics.served(time.Now(), m.Timestamp.Time)
	return m, nil
}

// List returns the metrics of all pods that have some, by namespace and name.
func (s podStorage) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	want, err := chosen("pods", options)
	if err != nil {
		return nil, err
	}
	view, err := s.fleet.view(ctx, s.fleet.Pods.Synced)
	if err != nil {
		return nil, err
	}
	candidates := s.candidates(&want, request.NamespaceValue(ctx))
	most := want.most(len(candidates))
	if err := s.rooms.take(ctx, most); err != nil {
		return nil, err
	}
	list := &metrics.PodMetricsList{Items: make([]metrics.PodMetrics, 0, most)}
	b := builder{reader: readers.Get().(*reader)}
	defer readers.Put(b.reader)
	var lost absent
	for _, p := range candidates {
		list.Items = append(list.Items, metrics.PodMetrics{})
		last := len(list.Items) - 1
		if b.pod(view, p, &list.Items[last]) != nil {
			list.Items = list.Items[:last]
			if n, ok := view.On(p.Node); b.nothing && ok && n.Missing() != nil {
				lost.add(n.Missing())
			}
			continue
		}
		if want.full(last) { // there is one more than the page takes
			list.Items = list.Items[:last]
			end := &list.Items[last-1]
			list.Continue = position{Of: "pods", Namespace: end.Namespace, Name: end.Name}.token()
			break
		}
	}
	lost.warn(ctx, "pods")
	now := time.Now()
	for i := range list.Items {
		s.metrics.served(now, list.Items[i].Timestamp.Time)
	}
	return list, nil
}

// candidates are the pods that are wanted, by namespace and name.
func (s podStorage) candidates(c *choice, namespace string) []*pods.Pod {
	if ns, ok := c.exactly("metadata.namespace"); ok && namespace == "" {
		namespace = ns
	}
	if name, ok := c.exactly("metadata.name"); ok && namespace != "" {
		if p, ok := s.fleet.Pods.Get(namespace, name); ok && c.wants(p) {
			return []*pods.Pod{p}
		}
		return nil
	}
	var all []*pods.Pod
	var labels *pods.Labels // of the last pod that was compared
	matched, compared := c.labels == nil, false
	for p := range s.fleet.Pods.All(namespace) {
		if c.labels != nil && (!compared || p.Labels != labels) { // mostly those of the pod before
			labels, matched, compared = p.Labels, c.labels.Matches(p.Labels), true
		}
		if matched && c.inPage(p) && c.hasFields(p) {
			all = append(all, p)
		}
	}
	return all
}

// wants tells whether a pod is wanted.
func (c *choice) wants(p *pods.Pod) bool {
	return (c.labels == nil || c.labels.Matches(p.Labels)) && c.inPage(p) && c.hasFields(p)
}

// inPage tells whether a pod comes after the page before.
func (c *choice) inPage(p *pods.Pod) bool {
	if c.after == nil {
		return true
	}
	return cmp.Or(strings.Compare(p.Namespace, c.after.Namespace), strings.Compare(p.Name, c.after.Name)) > 0
}

func (c *choice) hasFields(p *pods.Pod) bool {
	return c.fields == nil || c.fields.Matches(fields.Set{
		"metadata.name": p.Name, "metadata.namespace": p.Namespace, "spec.nodeName": p.Node,
	})
}

// most is how many of so many objects a page looks at, at once.
func (c *choice) most(n int) int {
	if c.limit > 0 {
		n = int(min(int64(n), c.limit+1))
	}
	return n
}

// A builder makes PodMetrics of what nodes have said.
type builder struct {
	*reader
	// arena is where the containers of many pods are, to allocate them at once.
	arena []metrics.ContainerMetrics
	// nothing tells of the last pod that its node has said nothing about it.
	nothing bool
}

// pod fills in the metrics of a pod; the error says why there are none.
func (b *builder) pod(view *snapshot.View, p *pods.Pod, m *metrics.PodMetrics) error {
	b.nothing = true
	n, ok := view.On(p.Node)
	if !ok {
		return errNothing
	}
	coded := chunkOf(n, p)
	if coded == nil {
		return errNothing
	}
	b.nothing = false
	containers, err := b.reader.pod(coded, p.Namespace, p.Name)
	if err != nil {
		return err
	}
	if name, ok := lacks(containers, p.Containers); ok {
		return errLacks(name)
	}
	m.Namespace, m.Name, m.Labels = p.Namespace, p.Name, p.Labels.Map()
	// One interval for all: it ends where the first one ends, so that it is not
	// later than what any of the numbers say, and begins where the first begins. It
	// never goes back when a container comes or ends; until the one that was measured
	// first is measured again, the others' numbers may be newer under the same end.
	begin, end := containers[0].begin, containers[0].end
	for i := range containers {
		begin, end = min(begin, containers[i].begin), min(end, containers[i].end)
	}
	m.Timestamp, m.Window = interval(begin, end)
	m.Containers = b.take(len(containers))
	for i := range containers {
		m.Containers[i] = metrics.ContainerMetrics{Name: containers[i].name, Usage: containers[i].list()}
	}
	return nil
}

// arenaSize is for how many containers memory is allocated at a time.
const arenaSize = 64

// take returns room for so many containers.
func (b *builder) take(n int) []metrics.ContainerMetrics {
	if n > len(b.arena) {
		b.arena = make([]metrics.ContainerMetrics, max(n, arenaSize))
	}
	taken := b.arena[:n:n]
	b.arena = b.arena[n:]
	return taken
}
