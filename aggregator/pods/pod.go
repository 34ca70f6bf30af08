package pods

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A Pod is what is kept of a pod. It never changes: one that does is another Pod.
type Pod struct {
	Namespace, Name string
	// UID is the one that the kubelet reports. Of a static pod that is a hash of its
	// manifest, and not the UID under which its mirror is at the API server.
	UID string
	// Node is where it runs.
	Node string
	// Labels are the same pointer for pods with the same labels; nil if there are
	// none.
	Labels *Labels
	// Containers are the names of those that run, by the API server, but for
	// ephemeral ones: sorted, with a comma between two.
	Containers string
}

// uidOf is a pod's UID as the kubelet reports it. The mirror of a static pod, which
// the kubelet makes at the API server, gets a UID there, and has the static pod's in
// an annotation (applyDefaults and CreateMirrorPod in Kubernetes' pkg/kubelet).
func uidOf(p *corev1.Pod) string {
	return cmp.Or(p.Annotations[corev1.MirrorPodAnnotationKey], string(p.UID))
}

// runningIn are a pod's Containers. Init containers that end are no part of it: they
// have ended, or run again after the pod's sandbox was lost, and then nothing else of
// the pod runs.
func runningIn(p *corev1.Pod) string {
	var names []string
	for i := range p.Status.ContainerStatuses {
		if c := &p.Status.ContainerStatuses[i]; c.State.Running != nil {
			names = append(names, c.Name)
		}
	}
	for i := range p.Status.InitContainerStatuses {
		c := &p.Status.InitContainerStatuses[i]
		if c.State.Running != nil && slices.ContainsFunc(p.Spec.InitContainers, func(spec corev1.Container) bool {
			return spec.Name == c.Name && spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
		}) {
			names = append(names, c.Name) // a sidecar
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// compare orders by namespace, then by name.
func (p *Pod) compare(namespace, name string) int {
	if c := strings.Compare(p.Namespace, namespace); c != 0 {
		return c
	}
	return strings.Compare(p.Name, name)
}

// listed is a Pod on its way from a page to the store, where client-go wants an
// object of the API.
type listed Pod

// GetObjectKind implements [runtime.Object], as DeepCopyObject does.
func (*listed) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is the same one, which never changes.
func (l *listed) DeepCopyObject() runtime.Object { return l }
