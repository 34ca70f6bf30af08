package resource

import (
	"context"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/metrics/pkg/apis/metrics"
)

// tables makes tables of the metrics, for kubectl get.
type tables struct{}

var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the node or pod"},
	{Name: "CPU", Type: "string", Description: "CPU in use, over the window"},
	{Name: "Memory", Type: "string", Description: "Memory in use that cannot be reclaimed"},
	{Name: "Swap", Type: "string", Priority: 1, Description: "Swap in use, if the node has swap"},
	{Name: "Window", Type: "string", Description: "Over how long a time CPU was measured"},
	{Name: "Timestamp", Type: "string", Priority: 1, Description: "When that time ended"},
}

// ConvertToTable implements [rest.TableConvertor].
func (tables) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	t := new(metav1.Table)
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		t.ColumnDefinitions = columns
	}
	switch m := object.(type) {
	case *metrics.NodeMetrics:
		t.Rows = append(t.Rows, nodeRow(m))
	case *metrics.PodMetrics:
		t.Rows = append(t.Rows, podRow(m))
	case *metrics.NodeMetricsList:
		t.ListMeta = m.ListMeta
		for i := range m.Items {
			t.Rows = append(t.Rows, nodeRow(&m.Items[i]))
		}
	case *metrics.PodMetricsList:
		t.ListMeta = m.ListMeta
		for i := range m.Items {
			t.Rows = append(t.Rows, podRow(&m.Items[i]))
		}
	}
	return t, nil
}

func nodeRow(m *metrics.NodeMetrics) metav1.TableRow {
	return row(m, m.Name, []core.ResourceList{m.Usage}, m.Window.Duration, m.Timestamp)
}

func podRow(m *metrics.PodMetrics) metav1.TableRow {
	all := make([]core.ResourceList, len(m.Containers))
	for i := range m.Containers {
		all[i] = m.Containers[i].Usage
	}
	return row(m, m.Name, all, m.Window.Duration, m.Timestamp)
}

func row(object runtime.Object, name string, all []core.ResourceList, window time.Duration, at metav1.Time) metav1.TableRow {
	cells := []any{name, sum(all, core.ResourceCPU), sum(all, core.ResourceMemory), sum(all, Swap), window.String(), at.UTC().Format(time.RFC3339)}
	return metav1.TableRow{Cells: cells, Object: runtime.RawExtension{Object: object}}
}

// sum adds up one resource, for people: CPU in millicores, the rest in KiB.
func sum(all []core.ResourceList, name core.ResourceName) string {
	var total resource.Quantity
	known := false
	for _, l := range all {
		if q, ok := l[name]; ok {
			total.Add(q)
			known = true
		}
	}
	switch {
	case !known:
		return "<none>"
	case name == core.ResourceCPU:
		total = *resource.NewMilliQuantity(total.MilliValue(), resource.DecimalSI)
	default:
		total = *resource.NewQuantity((total.Value()+1023)/1024*1024, resource.BinarySI)
	}
	return total.String()
}
