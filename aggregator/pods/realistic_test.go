package pods

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// perWorkload is how many pods of realistic ones have the same owner.
const perWorkload = 150

// realistic is a pod as it is in a large cluster, 8 KB: six labels, two containers,
// managed fields, conditions. A Deployment's pods have the same labels; those of a
// StatefulSet have two each of their own.
func realistic(i int, stateful bool) *corev1.Pod {
	workload, replica := i/perWorkload, i%perWorkload
	app := fmt.Sprintf("service-%04d", workload)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: fmt.Sprintf("team-%03d", workload/10),
		UID:       types.UID(fmt.Sprintf("%08x-6d2f-4c1e-9d53-%012x", i*2654435761%(1<<32), i)),
		Labels: map[string]string{
			"app.kubernetes.io/name": app, "app.kubernetes.io/instance": app + "-prod",
			"app.kubernetes.io/version": fmt.Sprintf("1.%d.%d", workload%40, workload%7), "app.kubernetes.io/part-of": fmt.Sprintf("product-%02d", workload/50),
		},
		ResourceVersion: fmt.Sprint(1000000 + i),
	}}
	if stateful {
		p.Name = fmt.Sprintf("%s-%d", app, replica)
		p.Labels["statefulset.kubernetes.io/pod-name"] = p.Name
		p.Labels["apps.kubernetes.io/pod-index"] = fmt.Sprint(replica)
		p.Labels["controller-revision-hash"] = fmt.Sprintf("%s-%010x", app, workload)
	} else {
		hash := fmt.Sprintf("%010x", workload*7919)
		p.Name = fmt.Sprintf("%s-%s-%05x", app, hash, replica*6151)
		p.Labels["pod-template-hash"] = hash
		p.Labels["tier"] = "backend"
	}
	p.Annotations = map[string]string{"prometheus.io/scrape": "true", "checksum/config": strings.Repeat("c", 64)}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app, UID: "0b2c7d5e-6d2f-4c1e-9d53-0123456789ab"}}
	for _, manager := range []string{"kube-controller-manager", "kubelet"} {
		p.ManagedFields = append(p.ManagedFields, metav1.ManagedFieldsEntry{Manager: manager, Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(strings.Repeat("f", 2000))})
	}
	p.Spec.NodeName = fmt.Sprintf("ip-10-%d-%d-%d.eu-west-1.compute.internal", i%5000/2500, i%2500/50, i%50)
	p.Spec.ServiceAccountName = app
	p.Status.Phase = corev1.PodRunning
	p.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	for _, name := range []string{"app", "proxy"} {
		c := corev1.Container{Name: name, Image: "registry.example.com/" + app + "/" + name + ":v1.2.3", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("256Mi")},
			Limits:   corev1.ResourceList{"memory": resource.MustParse("512Mi")},
		}}
		for j := range 12 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%02d", j), Value: strings.Repeat("v", 40)})
		}
		for j := range 4 {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: fmt.Sprintf("volume-%d", j), MountPath: fmt.Sprintf("/var/lib/volume-%d", j)})
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: name, Ready: true, Image: c.Image,
			State:   corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(1795262400, 0)}},
			ImageID: c.Image + "@sha256:" + strings.Repeat("a", 64), ContainerID: "containerd://" + strings.Repeat("b", 64)})
	}
	for j := range 4 {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: fmt.Sprintf("volume-%d", j), VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	}
	for _, c := range []corev1.PodConditionType{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: c, Status: corev1.ConditionTrue})
	}
	return p
}
