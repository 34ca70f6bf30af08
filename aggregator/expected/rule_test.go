package expected

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeWith is a node with labels k=v and taints k=v:effect or k:effect.
func nodeWith(name string, labelsAndTaints ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/os": "linux"}}}
	for _, s := range labelsAndTaints {
		rest, effect, isTaint := strings.Cut(s, ":")
		key, value, _ := strings.Cut(rest, "=")
		if isTaint {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
		} else {
			n.Labels[key] = value
		}
	}
	return n
}

// daemonSet is the agent's, with a pod like that.
func daemonSet(spec corev1.PodSpec) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "rollcall", Name: DefaultDaemonSet},
		Spec:       appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: spec}},
	}
}

// affinity requires one of the terms.
func affinity(terms ...corev1.NodeSelectorTerm) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}
}

func labelsTerm(e ...corev1.NodeSelectorRequirement) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: e}
}

func require(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorRequirement {
	return corev1.NodeSelectorRequirement{Key: key, Operator: op, Values: values}
}

// ours is the pod of our manifests.
func ours() corev1.PodSpec {
	return corev1.PodSpec{
		NodeSelector: map[string]string{"kubernetes.io/os": "linux"},
		Affinity: affinity(labelsTerm(
			require("type", corev1.NodeSelectorOpNotIn, "virtual-kubelet"),
			require("eks.amazonaws.com/compute-type", corev1.NodeSelectorOpNotIn, "fargate"))),
		Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
	}
}

func TestRule(t *testing.T) {
	with := func(change func(*corev1.PodSpec)) corev1.PodSpec {
		spec := ours()
		change(&spec)
		return spec
	}
	picky := with(func(s *corev1.PodSpec) { s.Tolerations = nil })
	only := func(names ...string) corev1.PodSpec {
		var terms []corev1.NodeSelectorTerm
		for _, name := range names {
			terms = append(terms, corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{require("metadata.name", corev1.NodeSelectorOpIn, name)}})
		}
		return corev1.PodSpec{Affinity: affinity(terms...)}
	}
	for _, tc := range []struct {
		name string
		spec corev1.PodSpec
		node *corev1.Node
		want string
	}{
		{"linux", ours(), nodeWith("n"), ""},
		{"windows", ours(), nodeWith("n", "kubernetes.io/os=windows"), "the agent's DaemonSet wants kubernetes.io/os=linux, the node has kubernetes.io/os=windows"},
		{"no label", ours(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, "the agent's DaemonSet wants kubernetes.io/os=linux, the node has no kubernetes.io/os"},
		{
			"virtual kubelet", ours(), nodeWith("n", "type=virtual-kubelet", "virtual-kubelet.io/provider=azure:NoSchedule"),
			"virtual kubelet: the agent's DaemonSet wants type!=virtual-kubelet, the node has type=virtual-kubelet",
		},
		{
			"fargate", ours(), nodeWith("n", "eks.amazonaws.com/compute-type=fargate"),
			"Fargate: the agent's DaemonSet wants eks.amazonaws.com/compute-type!=fargate, the node has eks.amazonaws.com/compute-type=fargate",
		},
		{"virtual kubelet that is wanted", with(func(s *corev1.PodSpec) { s.Affinity = nil }), nodeWith("n", "type=virtual-kubelet"), ""},
		{
			"virtual kubelet by its taint", picky, nodeWith("n", "virtual-kubelet.io/provider=azure:NoSchedule"),
			"virtual kubelet: the agent does not tolerate the taint virtual-kubelet.io/provider=azure:NoSchedule",
		},
		{"taint that is tolerated", ours(), nodeWith("n", "dedicated=gpu:NoSchedule", "x:NoExecute"), ""},
		{"taint that is not", picky, nodeWith("n", "dedicated=gpu:NoSchedule"), "the agent does not tolerate the taint dedicated=gpu:NoSchedule"},
		{"taint without value", picky, nodeWith("n", "dedicated:NoExecute"), "the agent does not tolerate the taint dedicated:NoExecute"},
		{"taint that only prefers", picky, nodeWith("n", "dedicated=gpu:PreferNoSchedule"), ""},
		{
			"taint tolerated for another effect",
			with(func(s *corev1.PodSpec) {
				s.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
			}),
			nodeWith("n", "dedicated=gpu:NoSchedule", "dedicated=gpu:NoExecute"), "the agent does not tolerate the taint dedicated=gpu:NoExecute",
		},
		{
			"taint tolerated by number",
			with(func(s *corev1.PodSpec) {
				s.Tolerations = []corev1.Toleration{{Key: "sla", Operator: corev1.TolerationOpGt, Value: "950"}}
			}),
			nodeWith("n", "sla=990:NoSchedule"), "",
		},
		{"unschedulable", picky, nodeWith("n", "node.kubernetes.io/unschedulable:NoSchedule"), ""},
		{"not ready", picky, nodeWith("n", "node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"), ""},
		{"unreachable", picky, nodeWith("n", "node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"), ""},
		{
			"under pressure", picky,
			nodeWith("n", "node.kubernetes.io/memory-pressure:NoSchedule", "node.kubernetes.io/disk-pressure:NoSchedule", "node.kubernetes.io/pid-pressure:NoSchedule"), "",
		},
		{"no network", picky, nodeWith("n", "node.kubernetes.io/network-unavailable:NoSchedule"), "the agent does not tolerate the taint node.kubernetes.io/network-unavailable:NoSchedule"},
		{
			"no network, and the host's is used", with(func(s *corev1.PodSpec) { s.Tolerations, s.HostNetwork = nil, true }),
			nodeWith("n", "node.kubernetes.io/network-unavailable:NoSchedule"), "",
		},
		{"by name", only("a", "n"), nodeWith("n"), ""},
		{"by another name", only("a"), nodeWith("n"), "the agent's DaemonSet wants metadata.name=a, the node has metadata.name=n"},
		{
			"by many names", only("a", "b", "c", "d", "e"), nodeWith("n"),
			"the agent's DaemonSet wants metadata.name=a or metadata.name=b or metadata.name=c or 2 more, the node has metadata.name=n",
		},
		{"for one node", corev1.PodSpec{NodeName: "a"}, nodeWith("n"), "the agent's DaemonSet is only for the node a"},
		{"for this node", corev1.PodSpec{NodeName: "n"}, nodeWith("n"), ""},
		{
			"one of two terms", corev1.PodSpec{Affinity: affinity(labelsTerm(require("a", corev1.NodeSelectorOpExists)), labelsTerm(require("b", corev1.NodeSelectorOpDoesNotExist)))},
			nodeWith("n"), "",
		},
		{
			"none of two terms", corev1.PodSpec{Affinity: affinity(labelsTerm(require("a", corev1.NodeSelectorOpExists)), labelsTerm(require("b", corev1.NodeSelectorOpDoesNotExist)))},
			nodeWith("n", "b=1"), "the agent's DaemonSet wants a or !b, the node has no a and b=1",
		},
		{
			"second of two requirements", corev1.PodSpec{Affinity: affinity(labelsTerm(require("a", corev1.NodeSelectorOpGt, "3"), require("b", corev1.NodeSelectorOpIn, "1", "2", "3", "4")))},
			nodeWith("n", "a=4", "b=5"), "the agent's DaemonSet wants b in (1, 2, 3, 1 more), the node has b=5",
		},
		{"no term", corev1.PodSpec{Affinity: affinity()}, nodeWith("n"), "the node affinity of the agent's DaemonSet matches no node"},
		{
			"nonsense", corev1.PodSpec{Affinity: affinity(labelsTerm(require("a", "Like", "x")))},
			nodeWith("n"), "the node affinity of the agent's DaemonSet cannot be understood: ",
		},
		{"preferences do not count", corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}}, nodeWith("n"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRule(daemonSet(tc.spec))
			got := r.reason(tc.node)
			if got != tc.want && (tc.name != "nonsense" || !strings.HasPrefix(got, tc.want)) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			if kept := nodeOf(tc.node); r.reason(kept.full("n")) != got {
				t.Errorf("of what is kept, %q", r.reason(kept.full("n")))
			}
		})
	}
	t.Run("no rule", func(t *testing.T) {
		if got := (*rule)(nil).reason(nodeWith("n", "kubernetes.io/os=windows")); got != "" {
			t.Errorf("got %q", got)
		}
	})
}
