package apiv1

import (
	"iter"

	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/series"
)

// A Range reads answers for those who tell them in another form than that of
// /api/v1, with the same rules: which of two samples counts, whom to blame for
// chunks that cannot be read.
type Range struct {
	// From and To bound the slots, both included, in Unix seconds.
	From, To int64
	// Metrics are the columns of the series.
	Metrics []model.Metric
}

// A Pod is what a Range reads of a pod.
type Pod struct {
	Namespace, Name string
	// Containers are those with points, by name.
	Containers []*series.Series
}

func (r Range) merger(a *Answer) *merger {
	return newMerger(params{from: r.From, to: r.To, metrics: r.Metrics}, a)
}

// Nodes yields the nodes that answered, by name, and their points. A series is
// valid until the next step. Nodes whose answer cannot be read are missing in the
// answer's coverage afterwards.
func (r Range) Nodes(a *Answer) iter.Seq2[string, *series.Series] {
	return func(yield func(string, *series.Series) bool) {
		for name, own := range r.merger(a).nodes() {
			if !yield(name, &own.slots) {
				return
			}
		}
	}
}

// Pods yields the pods of a namespace that have points, by name, each valid until
// the next step. What cannot be read is as with [Range.Nodes].
func (r Range) Pods(a *Answer, namespace string) iter.Seq[*Pod] {
	return func(yield func(*Pod) bool) {
		m := r.merger(a)
		m.list(func(ref *model.PodRef) bool { return ref.Namespace == namespace })
		var shown Pod
		for p := range m.pods("") {
			shown = Pod{Namespace: p.namespace, Name: p.name, Containers: shown.Containers[:0]}
			for _, c := range p.containers {
				shown.Containers = append(shown.Containers, &c.slots)
			}
			if !yield(&shown) {
				return
			}
		}
	}
}
