package cluster

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// tailLines is how much of a component's log is shown.
	tailLines = 30
	// tailOfContainer is how much of a container's.
	tailOfContainer = 200
)

// Diagnose writes what helps to find out why a test failed: nodes, pods and
// events of all namespaces, logs of all containers of the namespaces given, and
// the end of each component's log. It goes on if something of it fails.
func (c *Cluster) Diagnose(ctx context.Context, w io.Writer, namespaces ...string) {
	for _, args := range []string{
		"get nodes -o wide",
		"get pods --all-namespaces -o wide",
		"get events --all-namespaces --sort-by=.lastTimestamp",
	} {
		out, err := c.Kubectl(ctx, nil, strings.Fields(args)...)
		fmt.Fprintf(w, "== kubectl %s\n%s", args, out)
		if err != nil {
			fmt.Fprintln(w, err)
		}
	}
	for _, ns := range namespaces {
		c.containerLogs(ctx, w, ns)
	}
	err := filepath.WalkDir(c.Logs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fmt.Fprintf(w, "== the end of %s\n%s\n", path, tail(path, tailLines))
		return nil
	})
	if err != nil {
		fmt.Fprintln(w, err)
	}
}

// containerLogs writes the logs of a namespace's containers, of their previous
// lives too.
func (c *Cluster) containerLogs(ctx context.Context, w io.Writer, namespace string) {
	pods, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintln(w, err)
		return
	}
	for _, p := range pods.Items {
		for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			if s.RestartCount > 0 {
				c.containerLog(ctx, w, &p, s.Name, true)
			}
			c.containerLog(ctx, w, &p, s.Name, false)
		}
	}
}

func (c *Cluster) containerLog(ctx context.Context, w io.Writer, p *corev1.Pod, container string, previous bool) {
	life := ""
	if previous {
		life = ", previous"
	}
	fmt.Fprintf(w, "== %s/%s %s on %s%s\n", p.Namespace, p.Name, container, p.Spec.NodeName, life)
	lines := int64(tailOfContainer)
	log, err := c.Client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
		Container: container, Previous: previous, TailLines: &lines,
	}).DoRaw(ctx)
	if err != nil {
		fmt.Fprintln(w, err)
	}
	fmt.Fprintf(w, "%s\n", log)
}
