package expected

import (
	"cmp"
	"slices"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// node is what is kept of a node: what a DaemonSet may ask for, which is any of
// its labels, and the verdict: of 5000 nodes with 24 labels and 50 images each,
// 1.1 KB a node, where the API server's are 20 KB (BenchmarkKept).
type node struct {
	labels []label // by key
	taints []corev1.Taint
	reason string // why it is unsupported; empty: it is not
}

// label is a label. Most nodes have the same ones, so they share the strings.
type label struct{ key, value unique.Handle[string] }

// strip leaves of a node what is kept. The rest, most of it the names of images
// and the managed fields, would be held until all pages of a list have come.
func strip(n *corev1.Node) {
	*n = corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels, ResourceVersion: n.ResourceVersion},
		Spec:       corev1.NodeSpec{Taints: n.Spec.Taints},
	}
}

// nodeOf is what is kept of a node, without the verdict.
func nodeOf(n *corev1.Node) node {
	var kept node
	for key, value := range n.Labels {
		kept.labels = append(kept.labels, label{unique.Make(key), unique.Make(value)})
	}
	kept.labels = slices.Clip(kept.labels)
	slices.SortFunc(kept.labels, func(a, b label) int { return cmp.Compare(a.key.Value(), b.key.Value()) })
	for _, t := range n.Spec.Taints {
		// Not since when it is there, which does not matter.
		kept.taints = append(kept.taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
	}
	return kept
}

// same tells whether a verdict about one is a verdict about the other.
func (n node) same(o node) bool {
	return slices.Equal(n.labels, o.labels) && slices.Equal(n.taints, o.taints)
}

// full is the node as the rule wants to see it.
func (n node) full(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: Labels{n.labels}.Map()}, Spec: corev1.NodeSpec{Taints: n.taints}}
}
