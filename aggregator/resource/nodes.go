package resource

import (
	"context"
	"sort"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
)

// nodeStorage is NodeMetrics, read-only.
type nodeStorage struct {
	readOnly
	fleet   *Fleet
	metrics *serverMetrics
}

// Get returns the metrics of a node, or a 404 that says why there are none.
func (s nodeStorage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	view, err := s.fleet.view(ctx)
	if err != nil {
		return nil, err
	}
	r := readers.Get().(*reader)
	defer readers.Put(r)
	m := new(metrics.NodeMetrics)
	why, ok := s.node(r, view, name, m)
	if !ok {
		return nil, notFound(metrics.Resource("nodemetrics"), name, why)
	}
	s.metrics.served(time.Now(), m.Timestamp.Time)
	return m, nil
}

// List returns the metrics of all nodes that have some, by name.
func (s nodeStorage) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	want, err := chosen("nodes", options)
	if err != nil {
		return nil, err
	}
	view, err := s.fleet.view(ctx)
	if err != nil {
		return nil, err
	}
	names := s.fleet.Nodes.Nodes()
	if want.after != nil {
		names = names[sort.Search(len(names), func(i int) bool { return names[i] > want.after.Name }):]
	}
	r := readers.Get().(*reader)
	defer readers.Put(r)
	list := &metrics.NodeMetricsList{Items: make([]metrics.NodeMetrics, 0, len(names))}
	var lost absent
	for _, name := range names {
		if !s.wanted(&want, name) {
			continue
		}
		list.Items = append(list.Items, metrics.NodeMetrics{})
		last := len(list.Items) - 1
		if _, ok := s.node(r, view, name, &list.Items[last]); !ok {
			list.Items = list.Items[:last]
			if n, ok := view.On(name); ok && n.Missing() != nil {
				lost.add(n.Missing())
			}
			continue
		}
		if want.full(last) { // there is one more than the page takes
			list.Items = list.Items[:last]
			list.Continue = position{Of: "nodes", Name: list.Items[last-1].Name}.token()
			break
		}
	}
	lost.warn(ctx, "nodes")
	now := time.Now()
	for i := range list.Items {
		s.metrics.served(now, list.Items[i].Timestamp.Time)
	}
	return list, nil
}

func (s nodeStorage) wanted(c *choice, name string) bool {
	if c.fields != nil && !c.fields.Matches(fields.Set{"metadata.name": name}) {
		return false
	}
	if c.labels == nil {
		return true
	}
	l, ok := s.fleet.Nodes.Labels(name)
	return ok && c.labels.Matches(l)
}

// node fills in the metrics of a node; if there are none it says why.
func (s nodeStorage) node(r *reader, view *snapshot.View, name string, m *metrics.NodeMetrics) (why string, ok bool) {
	n, ok := view.On(name)
	if !ok || n.Own() == nil {
		return s.fleet.whyNode(view, name), false
	}
	u, err := r.node(n.Own())
	if err != nil {
		return err.Error(), false
	}
	m.Name = name
	if l, ok := s.fleet.Nodes.Labels(name); ok {
		m.Labels = l.Map()
	}
	m.Timestamp, m.Window = interval(u.begin, u.end)
	m.Usage = u.list()
	return "", true
}

// interval is the time from begin to end, in Unix milliseconds, as the API has it.
func interval(begin, end int64) (metav1.Time, metav1.Duration) {
	return metav1.Unix(end/1000, 0), metav1.Duration{Duration: time.Duration(end-begin) * time.Millisecond}
}
