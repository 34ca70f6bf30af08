package expected

import (
	"reflect"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// rule is what decides whether a node can run the agent: what the agent's
// DaemonSet says, and nothing else. It never changes.
type rule struct {
	spec     corev1.PodSpec // what of it matters
	affinity nodeaffinity.RequiredNodeAffinity
}

// newRule reads a DaemonSet.
func newRule(ds *appsv1.DaemonSet) *rule {
	from := &ds.Spec.Template.Spec
	r := &rule{spec: corev1.PodSpec{
		NodeName: from.NodeName, NodeSelector: from.NodeSelector,
		Tolerations: append(alwaysTolerated(from.HostNetwork), from.Tolerations...),
	}}
	if required := requiredAffinity(from); required != nil {
		r.spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required}}
	}
	r.affinity = nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: r.spec})
	return r
}

func requiredAffinity(spec *corev1.PodSpec) *corev1.NodeSelector {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return nil
	}
	return spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

// alwaysTolerated is what every pod of a DaemonSet tolerates: the DaemonSet
// controller adds it (AddOrUpdateDaemonPodTolerations in Kubernetes'
// pkg/controller/daemon/util). Not ready and unreachable it adds for NoExecute
// only, so that no new pod is started there; but a node that is in a bad way
// now is a missing node, and not one that cannot run the agent.
func alwaysTolerated(hostNetwork bool) []corev1.Toleration {
	tolerated := []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists},
		{Key: corev1.TaintNodeDiskPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodePIDPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	}
	if hostNetwork {
		tolerated = append(tolerated, corev1.Toleration{Key: corev1.TaintNodeNetworkUnavailable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
	}
	return tolerated
}

// same tells whether two rules, either of which may be nil, decide the same.
func (r *rule) same(o *rule) bool {
	return r == o || (r != nil && o != nil && reflect.DeepEqual(r.spec, o.spec))
}

// reason is why a node cannot run the agent, for people; empty if it can. There
// may be more reasons. Without a rule, every node can.
func (r *rule) reason(n *corev1.Node) string {
	if r == nil {
		return ""
	}
	if name := r.spec.NodeName; name != "" && name != n.Name {
		return kindOf(n) + "the agent's DaemonSet is only for the node " + name
	}
	if fits, err := r.affinity.Match(n); !fits {
		return kindOf(n) + r.misfit(n, err)
	}
	// An operator like Gt in a toleration counts: the API server, which knows
	// whether that feature is on, has let it in.
	taint, found := scheduling.FindMatchingUntoleratedTaint(logr.Discard(), n.Spec.Taints, r.spec.Tolerations, func(t *corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	}, true)
	if found {
		return kindOf(n) + "the agent does not tolerate the taint " + taint.ToString()
	}
	return ""
}
