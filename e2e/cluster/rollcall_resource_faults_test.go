package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bothKilled kills both aggregators at once, while a client lists.
func (u *usage) bothKilled() {
	l := u.list()
	killed := time.Now()
	u.killBoth()
	u.eventually("all values", u.all)
	u.Logf("all values are back %v after both were killed", time.Since(killed).Round(100*time.Millisecond))
	l.report(u, "both aggregators killed", l.asked)
}

// killBoth kills both aggregators, and waits until they are ready again, and asked.
func (u *usage) killBoth() {
	u.Helper()
	pods, err := u.pods(u.Context(), aggregators)
	if err != nil || len(pods) != 2 {
		u.Fatalf("%d aggregators, %v", len(pods), err)
	}
	killed := time.Now()
	for _, p := range pods {
		u.kill(p)
	}
	for _, p := range pods {
		u.restarted(p.Name, p.Status.ContainerStatuses[0].RestartCount)
	}
	u.eventually("the APIService is available", func(ctx context.Context) error { return u.available(ctx, serviceOfRollcall) })
	u.Logf("the APIService is available %v after both aggregators were killed", time.Since(killed).Round(100*time.Millisecond))
}

// replaced deletes one aggregator, and then rolls out both anew, with a flag more,
// while a client lists.
func (u *usage) replaced() {
	l := u.list()
	u.kubectl(nil, "delete", "pod", "--namespace", rollcall, u.aggregator().Name)
	u.rolledOut()
	l.report(u, "one aggregator deleted", 0)
	l = u.list()
	u.kubectl(nil, "patch", "--namespace", rollcall, "deployment/rollcall-aggregator", "--type=json", "--patch",
		`[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--metrics-server-aliases"}]`)
	u.rolledOut()
	l.report(u, "aggregators replaced", 0)
	page := u.ownMetrics()
	for _, name := range []string{"api_metric_freshness_seconds", "kubelet_request_total", "manager_tick_duration_seconds", "storage_points"} {
		if !strings.Contains(page, "# TYPE metrics_server_"+name) {
			u.Errorf("metrics_server_%s is not among its metrics", name)
		}
	}
}

// rolledOut waits until the aggregators are those that they should be, and the others
// have ended.
func (u *usage) rolledOut() {
	u.Helper()
	u.kubectl(nil, "rollout", "status", "--namespace", rollcall, "deployment/rollcall-aggregator", "--timeout=2m")
	u.eventually("the other aggregators have ended", func(ctx context.Context) error {
		list, err := u.c.Client.CoreV1().Pods(rollcall).List(ctx, metav1.ListOptions{LabelSelector: aggregators})
		if err == nil && len(list.Items) != 2 {
			err = fmt.Errorf("there are %d", len(list.Items))
		}
		return err
	})
}

// agentsGone takes all agents away, and then kills the aggregators, so that those that
// start know nobody. There is nothing to serve, and the API is served all the same, or
// no namespace could be deleted.
func (u *usage) agentsGone() {
	image := u.kubectl(nil, "get", "--namespace", rollcall, "daemonset/rollcall-agent", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	u.patchAgents("OnDelete", "rollcall.test/none:test")
	u.kubectl(nil, "delete", "pods", "--namespace", rollcall, "-l", agents)
	u.killBoth()
	unavailable := u.unavailable()
	u.eventually("nothing is listed", func(ctx context.Context) error {
		pods, err := u.metrics.PodMetricses("").List(ctx, metav1.ListOptions{})
		if err != nil {
			return errors.New(detail(err))
		}
		nodes, err := u.metrics.NodeMetricses().List(ctx, metav1.ListOptions{})
		if err != nil {
			return errors.New(detail(err))
		}
		if len(pods.Items)+len(nodes.Items) > 0 {
			return fmt.Errorf("%d pods, %d nodes", len(pods.Items), len(nodes.Items))
		}
		return nil
	})
	u.unknown("cpu", "node-")
	u.kubectl(nil, "create", "namespace", "shortlived")
	u.kubectl(nil, "delete", "namespace", "shortlived", "--timeout=1m")
	if times := unavailable(); len(times) > 0 {
		u.Errorf("the APIService was not available %d times: %v", len(times), times[0])
	}
	u.patchAgents("RollingUpdate", image)
	back := time.Now()
	u.kubectl(nil, "rollout", "status", "--namespace", rollcall, "daemonset/rollcall-agent", "--timeout=2m")
	u.eventually("all values", u.all)
	u.Logf("all values are back %v after agents may be", time.Since(back).Round(time.Second))
}

// patchAgents says which image agents have, and when.
func (u *usage) patchAgents(strategy, image string) {
	u.Helper()
	u.kubectl(nil, "patch", "--namespace", rollcall, "daemonset/rollcall-agent", "--type=json", "--patch", fmt.Sprintf(
		`[{"op":"replace","path":"/spec/updateStrategy","value":{"type":%q}},
		{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, strategy, image))
}

// unavailable looks at the APIService all the while; what it returns ends that, and says
// what was seen.
func (u *usage) unavailable() (end func() []error) {
	ctx, stop := context.WithCancel(u.Context())
	var seen []error
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		t := time.NewTicker(listEvery)
		defer t.Stop()
		for {
			if err := u.available(ctx, serviceOfRollcall); err != nil && ctx.Err() == nil {
				seen = append(seen, err)
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
	return func() []error { stop(); <-watched; return seen }
}

// apiServerAway stops the API server and starts it again. Meanwhile, whoever the
// aggregators know gets answers.
func (u *usage) apiServerAway() {
	direct := "https://" + u.aggregator().Status.PodIP + ":8443" + groupVersion + "/pods"
	admin := u.caller(u.pair("admin"))
	u.c.StopAPIServer()
	stopped := time.Now()
	u.judged("an admin, while the API server is stopped", direct, admin, http.Header{}, allowed)
	if err := u.c.StartAPIServer(u.Context()); err != nil {
		u.Fatal(err)
	}
	started := time.Now()
	u.eventually("the APIService is available", func(ctx context.Context) error { return u.available(ctx, serviceOfRollcall) })
	u.eventually("all values", u.all)
	u.Logf("all values are back %v after the API server was started, which was %v after it was stopped",
		time.Since(started).Round(100*time.Millisecond), started.Sub(stopped).Round(100*time.Millisecond))
}

// ofItself looks at the pages that tell how an aggregator is.
func (u *usage) ofItself() {
	p := u.aggregator()
	u.judged("readiness", "https://"+p.Status.PodIP+":8443/readyz", u.caller(nil), nil, allowed)
	if _, err := u.get(u.Context(), u.c.Nodes[0], "http://"+p.Status.PodIP+":8000/readyz"); err != nil {
		u.Error(err)
	}
	page := u.ownMetrics()
	if !strings.Contains(page, "# TYPE rollcall_resource_age_seconds") || strings.Contains(page, "metrics_server_") {
		u.Errorf("without --metrics-server-aliases: %s", page)
	}
}

// ownMetrics is what an aggregator tells of itself.
func (u *usage) ownMetrics() string {
	u.Helper()
	page, err := u.get(u.Context(), u.c.Nodes[0], "http://"+u.aggregator().Status.PodIP+":9812/metrics")
	if err != nil {
		u.Fatal(err)
	}
	return page
}
