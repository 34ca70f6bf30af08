package main

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

// serviceOfMetricsServer is the Service of metrics-server.
const serviceOfMetricsServer = "metrics-server"

// TestMetricsAPI checks what metrics.k8s.io is expected to do: so far, of
// metrics-server.
func TestMetricsAPI(t *testing.T) {
	c := startCluster(t, cluster.Config{Nodes: 3, Images: build.Choice{MetricsServer: true}}, usageNamespace, "kube-system")
	for _, sub := range []struct {
		name string
		run  func(*usage)
	}{
		{"metrics-server", (*usage).metricsServer},
	} {
		if !t.Run(sub.name, func(t *testing.T) { sub.run(newUsage(&env{T: t, c: c})) }) {
			break // what comes after would fail as well
		}
	}
}

// metricsServer deploys it, and the pods, and checks the checks.
func (u *usage) metricsServer() {
	u.kubectl([]byte(u.readFile("testdata/metrics-server.yaml")), "apply", "-f", "-")
	u.kubectl([]byte(u.readFile("testdata/usage.yaml")), "apply", "-f", "-")
	u.eventually("all pods run", func(ctx context.Context) error {
		pods, err := u.c.Client.CoreV1().Pods(usageNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			if p.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("%s is %s", p.Name, p.Status.Phase)
			}
		}
		return nil
	})
	d := u.write(false)
	u.served(serviceOfMetricsServer)
	u.everything()
	u.ofPods()
	u.scale(busy)
	u.scale(idle)
	d.judge(30)
}
