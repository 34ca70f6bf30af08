package apiserver

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollcall-metrics/rollcall/aggregator/expected"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
)

// The sizes of objects: pods are 5 KB, in protobuf, nodes 15 KB.
const (
	managedPod, managedNode = 1200, 1200 // bytes of managed fields by each manager
	settings, volumes       = 5, 3       // of a container
	images                  = 50         // of a node, which kubelets report at most
)

// created is when all of the cluster was made.
var created = metav1.NewTime(time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC))

// looks are the pods of deployments as they look. It does not change.
type looks struct {
	templates []*corev1.Pod // by deployment
}

func newLooks(deployments []virtual.Deployment) *looks {
	l := &looks{}
	for i, d := range deployments {
		l.templates = append(l.templates, podTemplate(i, d))
	}
	return l
}

// App is the label app of a deployment's pods: its name.
func App(d virtual.Deployment) string {
	app, _ := splitHash(d.Name)
	return app
}

// splitHash takes the name of a ReplicaSet apart.
func splitHash(name string) (app, hash string) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i+1:]
}

// podTemplate is what the pods of a deployment have in common.
func podTemplate(i int, d virtual.Deployment) *corev1.Pod {
	app, hash := splitHash(d.Name)
	yes, grace := true, int64(30)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: d.Namespace, GenerateName: d.Name + "-",
		Labels: map[string]string{
			"app": app, "pod-template-hash": hash, "version": fmt.Sprintf("v1.%d.%d", i%40, i%7), "app.kubernetes.io/part-of": fmt.Sprintf("product-%02d", i/50),
		},
		Annotations: map[string]string{"prometheus.io/scrape": "true", "checksum/config": strings.Repeat("c", 64)},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "ReplicaSet", Name: d.Name, UID: "0b2c7d5e-6d2f-4c1e-9d53-0123456789ab", Controller: &yes, BlockOwnerDeletion: &yes,
		}},
		ManagedFields: managed(managedPod, "kube-controller-manager", "kubelet"),
	}}
	p.Spec.ServiceAccountName, p.Spec.DeprecatedServiceAccount = app, app
	p.Spec.RestartPolicy, p.Spec.DNSPolicy, p.Spec.SchedulerName = corev1.RestartPolicyAlways, corev1.DNSClusterFirst, corev1.DefaultSchedulerName
	p.Spec.TerminationGracePeriodSeconds, p.Spec.EnableServiceLinks = &grace, &yes
	p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &yes}
	seconds := int64(300)
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds})
	}
	for j := range volumes {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: fmt.Sprintf("volume-%d", j), VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	}
	p.Status.Phase, p.Status.QOSClass = corev1.PodRunning, corev1.PodQOSBurstable
	return p
}

func managed(size int, managers ...string) []metav1.ManagedFieldsEntry {
	var all []metav1.ManagedFieldsEntry
	for _, m := range managers {
		all = append(all, metav1.ManagedFieldsEntry{
			Manager: m, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &created, FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(`{"f:status":{"f:conditions":{"k:{\"type\":\"Ready\"}":"` + strings.Repeat("f", size) + `"}}}`),
		})
	}
	return all
}

// pod is a pod that is running.
func (l *looks) pod(r *virtual.Resident) *corev1.Pod {
	p := *l.templates[r.Deployment] // what is not changed below is shared
	start := metav1.NewTime(time.Unix(r.Start, 0))
	p.Name, p.UID, p.CreationTimestamp = r.Name, types.UID(r.UID), start
	p.ResourceVersion = fmt.Sprint(r.Start % 10_000_000)
	p.Spec.NodeName = r.Node
	p.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", r.UID[0], r.UID[1], r.UID[2])
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	p.Status.HostIP, p.Status.StartTime = "192.168.17.42", &start
	p.Spec.Containers, p.Status.ContainerStatuses = nil, nil
	for _, name := range r.Containers {
		c := container(name, p.Labels["app"])
		started := true
		p.Spec.Containers = append(p.Spec.Containers, c)
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: name, Ready: true, Started: &started, Image: c.Image,
			ImageID: c.Image + "@sha256:" + strings.Repeat("a", 64), ContainerID: "containerd://" + strings.Repeat("b", 64),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(start.Add(2 * time.Second))}},
		})
	}
	p.Status.Conditions = nil
	for _, of := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: of, Status: corev1.ConditionTrue, LastTransitionTime: start})
	}
	return &p
}

func container(name, app string) corev1.Container {
	c := corev1.Container{
		Name: name, Image: "registry.example.com/" + app + "/" + name + ":v1.2.3", ImagePullPolicy: corev1.PullIfNotPresent,
		TerminationMessagePath: corev1.TerminationMessagePathDefault, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		Ports:     []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		Resources: resources,
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Scheme: corev1.URISchemeHTTP}},
			PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
		},
	}
	for j := range settings {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%02d", j), Value: strings.Repeat("v", 40)})
	}
	for j := range volumes {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: fmt.Sprintf("volume-%d", j), MountPath: fmt.Sprintf("/var/lib/volume-%d", j)})
	}
	return c
}

// resources are shared by all containers.
var resources = corev1.ResourceRequirements{
	Requests: corev1.ResourceList{corev1.ResourceCPU: quantity.MustParse("100m"), corev1.ResourceMemory: quantity.MustParse("256Mi")},
	Limits:   corev1.ResourceList{corev1.ResourceMemory: quantity.MustParse("512Mi")},
}

// nodeObject is the i-th node, as its kubelet says it now.
func nodeObject(i int) *corev1.Node {
	name := fmt.Sprintf("node-%d", i+1)
	zone := fmt.Sprintf("region-1%c", 'a'+i%3)
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID(fmt.Sprintf("%08x-6d2f-4c1e-9d53-%012x", i, i)), ResourceVersion: fmt.Sprint(1_000_000 + i), CreationTimestamp: created,
		Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			corev1.LabelInstanceTypeStable: "standard-16", corev1.LabelTopologyRegion: "region-1", corev1.LabelTopologyZone: zone,
			"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
		},
		Annotations:   map[string]string{"node.alpha.kubernetes.io/ttl": "300", "volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		ManagedFields: managed(managedNode, "kube-controller-manager", "kubelet"),
	}}
	for j := range 16 {
		n.Labels[fmt.Sprintf("example.com/label-%02d", j)] = fmt.Sprintf("value-%d", (i+j)%(j+1))
	}
	n.Spec.PodCIDR = fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)
	n.Spec.ProviderID = "cloud:///" + zone + "/i-" + fmt.Sprintf("%017x", i)
	n.Status.Capacity = corev1.ResourceList{corev1.ResourceCPU: quantity.MustParse("16"), corev1.ResourceMemory: quantity.MustParse("65536Mi"), corev1.ResourcePods: quantity.MustParse("110")}
	n.Status.Allocatable = n.Status.Capacity
	n.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.%d.%d", i/256, i%256)}, {Type: corev1.NodeHostName, Address: name},
	}
	n.Status.NodeInfo = corev1.NodeSystemInfo{
		MachineID: strings.Repeat("c", 32), SystemUUID: string(n.UID), BootID: string(n.UID), KernelVersion: "6.12.0", OSImage: "Linux",
		ContainerRuntimeVersion: "containerd://2.1.0", KubeletVersion: "v1.36.3", OperatingSystem: "linux", Architecture: "amd64",
	}
	now := metav1.Now()
	for of, status := range map[corev1.NodeConditionType]corev1.ConditionStatus{
		corev1.NodeReady: corev1.ConditionTrue, corev1.NodeMemoryPressure: corev1.ConditionFalse,
		corev1.NodeDiskPressure: corev1.ConditionFalse, corev1.NodePIDPressure: corev1.ConditionFalse,
	} {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: of, Status: status, LastHeartbeatTime: now, LastTransitionTime: created, Reason: "Kubelet" + string(of), Message: "kubelet has " + string(of),
		})
	}
	for j := range images {
		image := fmt.Sprintf("registry.example.com/team-%02d/service-%04d", j%40, (i+97*j)%1000)
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{
			Names: []string{image + "@sha256:" + strings.Repeat("d", 64), image + ":v1.2.3"}, SizeBytes: int64(j+1) << 22,
		})
	}
	return n
}

// daemonSet is the agents': on all nodes.
func daemonSet(namespace string) *appsv1.DaemonSet {
	labels := map[string]string{"app.kubernetes.io/name": expected.DefaultDaemonSet}
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: expected.DefaultDaemonSet, UID: "0b2c7d5e-6d2f-4c1e-9d53-0123456789ac", ResourceVersion: "42", CreationTimestamp: created}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	d.Spec.Template.Labels = labels
	d.Spec.Template.Spec.Containers = []corev1.Container{container("agent", "rollcall")}
	return d
}
