package pods

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestRunningIn(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	status := func(name string, runs bool) corev1.ContainerStatus {
		c := corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}}
		if runs {
			c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		}
		return c
	}
	p := &corev1.Pod{
		Spec: corev1.PodSpec{InitContainers: []corev1.Container{
			{Name: "prepare"}, {Name: "mesh", RestartPolicy: &always}, {Name: "logs", RestartPolicy: &always},
		}},
		Status: corev1.PodStatus{
			ContainerStatuses:          []corev1.ContainerStatus{status("web", true), status("crashes", false), status("app", true)},
			InitContainerStatuses:      []corev1.ContainerStatus{status("prepare", true), status("mesh", true), status("logs", false)},
			EphemeralContainerStatuses: []corev1.ContainerStatus{status("debug", true)},
		},
	}
	if got := runningIn(p); got != "app,mesh,web" {
		t.Errorf("running: %q", got)
	}
	if got := runningIn(&corev1.Pod{}); got != "" {
		t.Errorf("of a pod without a status: %q", got)
	}
}
