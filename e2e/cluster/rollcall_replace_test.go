package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// replace puts Rollcall in metrics-server's place, and back, and in its place again, by
// the commands of docs/replace-metrics-server.md. Throughout, a client lists, and no
// list may fail, and the HorizontalPodAutoscalers go on.
func (u *usage) replace() {
	d := u.document("docs/replace-metrics-server.md")
	manifests, err := filepath.Rel(d.dir, u.manifests())
	if err != nil {
		u.Fatal(err)
	}
	ours, err := filepath.Abs("testdata/metrics-server.yaml")
	if err != nil {
		u.Fatal(err)
	}
	d.adapt = strings.NewReplacer(
		"https://github.com/rollcall-metrics/rollcall//manifests", manifests, "?ref=v0.1.0", "",
		"registry.example.com/", "rollcall.test/", "newTag: v0.1.0", "newTag: "+oldTag,
		"https://github.com/kubernetes-sigs/metrics-server/releases/download/v0.9.0/components.yaml", ours)

	l := u.list()
	d.run("1. Set up", 0)
	d.goesOn(serviceOfMetricsServer)
	d.look()
	d.believed()
	began := time.Now()
	d.run("3. Switch", 0)
	u.serves(serviceOfRollcall)
	u.Logf("switched within %v", time.Since(began).Round(100*time.Millisecond))
	turned := u.turn(idle)
	d.run("4. Check", 0)
	d.last()
	u.follow(idle, turned)
	l.report(u, "from metrics-server to Rollcall", 0)

	l = u.list()
	d.back()
	u.scale(busy)
	l.report(u, "back to metrics-server", 0)

	d.believed()
	l = u.list()
	d.run("3. Switch", 0)
	u.serves(serviceOfRollcall)
	d.last()
	l.report(u, "and to Rollcall again", 0)
}

// doubted is how long after a pod has become ready an autoscaler may not go by its
// values: they have to be of a window, 30 s at most, that began after that; a kubelet on
// a busy machine measures every 30 s or so, and Rollcall's values are told for 45 s at
// most.
const doubted = 2 * time.Minute

// believed waits until autoscalers go by the values of a pod of each workload, whoever is
// asked. They would have nothing to go by if all of its pods had just become ready.
func (d *document) believed() {
	d.Helper()
	d.eventually("autoscalers go by a pod of each workload", func(ctx context.Context) error {
		pods, err := d.c.Client.CoreV1().Pods(usageNamespace).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
		if err != nil {
			return err
		}
		longest := map[string]time.Duration{} // by workload
		for _, p := range pods.Items {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					longest[p.Labels["app"]] = max(longest[p.Labels["app"]], time.Since(c.LastTransitionTime.Time))
				}
			}
		}
		for app, ready := range longest {
			if ready < doubted {
				return fmt.Errorf("no pod of %s has been ready for longer than %v", app, ready)
			}
		}
		return nil
	})
}

// look compares what Rollcall would answer.
func (d *document) look() {
	d.Helper()
	d.eventually("Rollcall has an answer of all nodes", func(context.Context) error {
		out, err := d.try("2. Look", 0)
		if err != nil {
			return err
		}
		// Port-forwarding tells things, too.
		if !slices.Contains(strings.Split(out, "\n"), fmt.Sprint(len(d.c.Nodes))) {
			return errors.New(out)
		}
		return nil
	})
	if out, err := d.try("2. Look", 1); err != nil || out != "ok" {
		d.Errorf("the API server reaches aggregators: %q, %v", out, err)
	}
	d.goesOn(serviceOfMetricsServer)
}

// last has the switch last, and removes metrics-server.
func (d *document) last() {
	d.Helper()
	d.run("5. Make it last", 0)
	d.goesOn(serviceOfRollcall)
	d.run("6. Remove metrics-server", 0)
	d.goesOn(serviceOfRollcall)
	left := d.kubectl(nil, "get", "--all-namespaces", "-o", "name", "-l", "k8s-app=metrics-server",
		"deployments,services,serviceaccounts,rolebindings,clusterroles,clusterrolebindings,apiservices")
	if left != "" {
		d.Errorf("of metrics-server there is still %s", left)
	}
	d.run("4. Check", 0)
}

// back goes back.
func (d *document) back() {
	d.Helper()
	if _, err := d.c.Bash(d.Context(), d.dir, "sed -i 's,components/metrics-api,components/metrics-api-standby,' kustomization.yaml"); err != nil {
		d.Fatal(err)
	}
	// The first command fails in the end, as the document says, and the next waits.
	if _, err := d.try("Back", 0); err == nil || !strings.Contains(err.Error(), "may not be true if caBundle is present") {
		d.Errorf("metrics-server's manifest, while Rollcall is asked: %v", err)
	}
	d.kubectl(nil, "rollout", "status", "--namespace", "kube-system", "deployment/metrics-server", "--timeout=2m")
	d.warm()
	d.goesOn(serviceOfRollcall)
	d.run("Back", 1)
	d.serves(serviceOfMetricsServer)
	d.kubectl([]byte(d.readFile("testdata/metrics-server.yaml")), "apply", "-f", "-")
	d.goesOn(serviceOfMetricsServer)
}

// goesOn checks that a Service is what is asked, and that the autoscalers have
// something to go by.
func (d *document) goesOn(service string) {
	d.Helper()
	if err := d.available(d.Context(), service); err != nil {
		d.Errorf("%s: %v", service, err)
	}
	list, err := d.c.Client.AutoscalingV2().HorizontalPodAutoscalers(usageNamespace).List(d.Context(), metav1.ListOptions{})
	if err != nil {
		d.Fatal(err)
	}
	for _, h := range list.Items {
		if err := active(&h); err != nil || !slices.Contains(scaled, h.Name) {
			d.Errorf("%s: %v", h.Name, err)
		}
	}
}

// warm waits until metrics-server, which nobody asks yet, has rates of all pods: that
// is what the document has people wait a minute for.
func (d *document) warm() {
	d.Helper()
	d.eventually("metrics-server has rates of all pods", func(ctx context.Context) error {
		servers, err := d.c.Client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=metrics-server"})
		if err != nil {
			return err
		}
		pods, err := d.c.Client.CoreV1().Pods(usageNamespace).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
		if err != nil {
			return err
		}
		for _, server := range servers.Items {
			cfg := rest.CopyConfig(d.c.REST)
			cfg.Host = "https://" + server.Status.PodIP + ":10250"
			cfg.CAFile, cfg.CAData, cfg.Insecure = "", nil, true // it has signed its certificate itself
			got, err := d.asker(cfg).PodMetricses(usageNamespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return fmt.Errorf("%s: %w", server.Name, err)
			}
			if len(got.Items) < len(pods.Items) {
				return fmt.Errorf("%s has %d of %d", server.Name, len(got.Items), len(pods.Items))
			}
		}
		return nil
	})
}
