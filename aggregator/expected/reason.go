package expected

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// someOf is how many of several values or conditions a reason names: a
// DaemonSet may list a thousand hosts.
const someOf = 3

// kindOf names what is known not to be a machine of its own, before the reason.
// It decides nothing.
func kindOf(n *corev1.Node) string {
	provided := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "virtual-kubelet.io/provider" })
	switch {
	case n.Labels["eks.amazonaws.com/compute-type"] == "fargate":
		return "Fargate: "
	case provided || n.Labels["type"] == "virtual-kubelet":
		return "virtual kubelet: "
	}
	return ""
}

// misfit says what of the node selector or the affinity a node does not match;
// err is what of the affinity cannot be understood.
func (r *rule) misfit(n *corev1.Node, err error) string {
	for _, key := range slices.Sorted(maps.Keys(r.spec.NodeSelector)) {
		value := r.spec.NodeSelector[key]
		if has, ok := n.Labels[key]; !ok || has != value {
			return fmt.Sprintf("the agent's DaemonSet wants %s=%s, the node has %s", key, value, labelOf(n, key))
		}
	}
	var wants, has []string // of each alternative, the first that does not match
	for _, term := range requiredAffinity(&r.spec).NodeSelectorTerms {
		if want, have := unmatched(n, term); want != "" && !slices.Contains(wants, want) {
			wants, has = append(wants, want), append(has, have)
		}
	}
	switch {
	case err != nil:
		return "the node affinity of the agent's DaemonSet cannot be understood: " + err.Error()
	case len(wants) == 0:
		return "the node affinity of the agent's DaemonSet matches no node"
	}
	return fmt.Sprintf("the agent's DaemonSet wants %s, the node has %s", some(wants, " or "), some(slices.Compact(has), " and "))
}

// unmatched is the first requirement of a term that a node does not match, and
// what the node has instead.
func unmatched(n *corev1.Node, term corev1.NodeSelectorTerm) (want, have string) {
	for _, e := range term.MatchExpressions {
		if !matches(n, corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{e}}) {
			return requirement(e), labelOf(n, e.Key)
		}
	}
	for _, e := range term.MatchFields {
		if !matches(n, corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{e}}) {
			return requirement(e), metav1.ObjectNameField + "=" + n.Name // there is no other field
		}
	}
	return "", ""
}

func matches(n *corev1.Node, term corev1.NodeSelectorTerm) bool {
	ok, _ := nodeaffinity.NewLazyErrorNodeSelector(&corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}).Match(n)
	return ok
}

// labelOf is a label of a node as a reason has it.
func labelOf(n *corev1.Node, key string) string {
	if value, ok := n.Labels[key]; ok {
		return key + "=" + value
	}
	return "no " + key
}

// requirement is a requirement as kubectl's selectors have it.
func requirement(e corev1.NodeSelectorRequirement) string {
	values := some(e.Values, ", ")
	one := len(e.Values) == 1
	switch {
	case e.Operator == corev1.NodeSelectorOpIn && one:
		return e.Key + "=" + values
	case e.Operator == corev1.NodeSelectorOpNotIn && one:
		return e.Key + "!=" + values
	case e.Operator == corev1.NodeSelectorOpExists:
		return e.Key
	case e.Operator == corev1.NodeSelectorOpDoesNotExist:
		return "!" + e.Key
	case e.Operator == corev1.NodeSelectorOpGt:
		return e.Key + ">" + values
	case e.Operator == corev1.NodeSelectorOpLt:
		return e.Key + "<" + values
	}
	return fmt.Sprintf("%s %s (%s)", e.Key, strings.ToLower(string(e.Operator)), values)
}

// some joins the first of them.
func some(list []string, sep string) string {
	if len(list) > someOf {
		return fmt.Sprintf("%s%s%d more", strings.Join(list[:someOf], sep), sep, len(list)-someOf)
	}
	return strings.Join(list, sep)
}
