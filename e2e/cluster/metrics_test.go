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

// The Services that serve metrics.k8s.io.
const (
	serviceOfMetricsServer = "metrics-server"
	serviceOfRollcall      = "rollcall-metrics-api"
)

// TestMetricsAPI puts Rollcall in the place of metrics-server, and then checks what
// metrics.k8s.io is expected to do. What both can do is asked of both.
func TestMetricsAPI(t *testing.T) {
	c := startCluster(t, cluster.Config{Nodes: 3, Images: build.Choice{Tags: []string{oldTag}, MetricsServer: true}}, rollcall, usageNamespace, "kube-system")
	type sub struct {
		name string
		run  func(*usage)
	}
	run := func(t *testing.T, s sub) bool {
		return t.Run(s.name, func(t *testing.T) { s.run(newUsage(t, c)) })
	}
	for _, s := range []sub{
		{"metrics-server", (*usage).metricsServer},
		{"replace metrics-server", (*usage).replace},
		{"top", (*usage).top},
		{"tables", (*usage).tables},
		{"refusals", (*usage).refusals},
		{"selectors", (*usage).selected},
		{"pages", (*usage).pages},
		{"of itself", (*usage).ofItself},
		// What has to wait waits at the same time.
		{"meanwhile", func(u *usage) {
			for _, s := range []sub{
				{"usage", (*usage).ofRollcall},
				{"discovery", (*usage).discovery},
				{"explain", (*usage).explain},
				{"who may", (*usage).whoMay},
				{"in turn", (*usage).inTurn},
				{"lives", (*usage).lives},
				{"kubelet away", (*usage).kubeletAway},
			} {
				run(u.T, sub{s.name, func(u *usage) { u.Parallel(); s.run(u) }})
			}
		}},
		{"both aggregators killed", (*usage).bothKilled},
		{"aggregators replaced", (*usage).replaced},
		{"API server away", (*usage).apiServerAway},
		{"agents gone", (*usage).agentsGone},
	} {
		if !run(t, s) {
			break // what comes after would fail as well
		}
	}
}

// metricsServer deploys it, and the pods, and checks the checks.
func (u *usage) metricsServer() {
	u.kubectl([]byte(metricsServerYAML), "apply", "-f", "-")
	u.kubectl([]byte(usageYAML), "apply", "-f", "-")
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
	turned := u.turn(busy)
	d := u.write(false)
	u.serves(serviceOfMetricsServer)
	u.everything()
	u.ofPods()
	u.follow(busy, turned)
	d.judge(8)
}

// ofRollcall is the same of Rollcall, which takes over where metrics-server has left.
func (u *usage) ofRollcall() {
	d := u.write(true)
	u.serves(serviceOfRollcall)
	u.everything()
	u.ofPods()
	u.scale(idle)
	d.judge(15)
}
