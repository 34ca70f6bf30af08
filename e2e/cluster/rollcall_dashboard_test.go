package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
	"github.com/rollcall-metrics/rollcall/e2e/dashboard"
)

const (
	// board is the Dashboard's namespace, and forwarders are Rollcall's pods in it.
	board      = "kubernetes-dashboard"
	forwarders = "app.kubernetes.io/name=rollcall,app.kubernetes.io/component=dashboard-forwarder"
	// boardWindow is how much the Dashboard is told.
	boardWindow = 15 * time.Minute
	// boardNames of the suite's length are what the API server has room for in a path,
	// 1 MiB.
	boardNames = 32_000
	// boardEvery is how often it is asked while things are deleted.
	boardEvery = 100 * time.Millisecond
)

// boardAccounts are the Dashboard's own, of its chart and of its manifests before, and
// one that has no rights.
const boardAccounts = `
apiVersion: v1
kind: Namespace
metadata: {name: kubernetes-dashboard, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: kubernetes-dashboard-api, namespace: kubernetes-dashboard}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: kubernetes-dashboard, namespace: kubernetes-dashboard}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: stranger, namespace: kubernetes-dashboard}
`

// boardServices are the Services that it asks for, each with the account of who does.
var boardServices = map[string]string{
	"kubernetes-dashboard-metrics-scraper": "kubernetes-dashboard-api",
	"dashboard-metrics-scraper":            "kubernetes-dashboard",
}

// dashboard has Rollcall answer the Kubernetes Dashboard, as that asks: through the API
// server's proxy of a Service, with its own account.
func (f *fleet) dashboard() {
	f.kubectl([]byte(boardAccounts), "apply", "-f", "-")
	defer f.withoutDashboard()
	f.apply(cluster.Manifests{Tag: oldTag, Components: []string{"dashboard"}, Patches: smallFleet})
	f.kubectl(nil, "rollout", "status", "--namespace", board, "deployment/rollcall-dashboard", "--timeout=2m")
	f.forwarderRestricted()

	target := f.boardTarget()
	for service, account := range boardServices {
		f.Run(service, func(t *testing.T) {
			target := target
			target.Client = f.boardClient(account, service)
			defer target.Client.Close()
			dashboard.TestContract(t, target)
		})
		if err := f.boardGet("stranger", service); !apierrors.IsForbidden(err) {
			f.Errorf("a stranger asks %s: %v", service, err)
		}
	}
	f.boardGoesOn(target, "a forwarder", func() { f.deleteOne(board, forwarders, "rollcall-dashboard") })
	f.boardGoesOn(target, "an aggregator", func() { f.deleteOne(rollcall, aggregators, "rollcall-aggregator") })
}

// withoutDashboard removes what dashboard has added.
func (f *fleet) withoutDashboard() {
	f.kubectl(nil, "delete", "namespace", board)
	f.kubectl(nil, "delete", "networkpolicy", "--namespace", rollcall, "rollcall-dashboard")
}

// forwarderRestricted checks that forwarders have no token, and no rights.
func (f *fleet) forwarderRestricted() {
	f.Helper()
	list, err := f.c.Client.CoreV1().Pods(board).List(f.Context(), metav1.ListOptions{LabelSelector: forwarders})
	if err != nil || len(list.Items) != 2 {
		f.Fatalf("%d forwarders, %v", len(list.Items), err)
	}
	for _, p := range list.Items {
		for _, v := range p.Spec.Volumes {
			if v.Projected != nil || v.Secret != nil {
				f.Errorf("%s has the volume %s", p.Name, v.Name)
			}
		}
	}
}

// boardClient asks a Service with the token of an account.
func (f *fleet) boardClient(account, service string) *dashboard.Client {
	f.Helper()
	token, err := f.c.Client.CoreV1().ServiceAccounts(board).CreateToken(f.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	cfg := rest.AnonymousClientConfig(f.c.REST)
	cfg.BearerToken = token.Status.Token
	c, err := dashboard.Proxied(cfg, board, service)
	if err != nil {
		f.Fatal(err)
	}
	return c
}

// boardGet asks once.
func (f *fleet) boardGet(account, service string) error {
	f.Helper()
	c := f.boardClient(account, service)
	defer c.Close()
	_, err := c.Get(f.Context(), dashboard.NodePath(f.c.Nodes[0].Name, dashboard.CPU))
	return err
}

// boardTarget is Rollcall's own agents, which are on all nodes, and what /api/v1 says
// of them.
func (f *fleet) boardTarget() dashboard.Target {
	f.Helper()
	pods, err := f.pods(f.Context(), agents)
	if err != nil {
		f.Fatal(err)
	}
	target := dashboard.Target{Resolution: slot, Window: boardWindow, Namespace: rollcall, Names: boardNames, Truth: boardTruth{f}}
	for _, p := range pods {
		target.Pods = append(target.Pods, p.Name)
	}
	for _, n := range f.c.Nodes {
		target.Nodes = append(target.Nodes, n.Name)
	}
	return target
}

// A boardTruth is what /api/v1 says.
type boardTruth struct{ f *fleet }

// entities are what /api/v1 answers, of which what was not measured is absent.
type entities struct {
	Nodes []named
	Pods  []struct {
		Name       string
		Containers []named
	}
	Coverage struct{ Complete bool }
}

type named struct {
	Name    string
	Metrics []map[string]uint64
}

// Pods implements [dashboard.Truth].
func (b boardTruth) Pods(ctx context.Context, namespace string, m dashboard.Metric, from, to int64) (map[string]dashboard.Parts, error) {
	all, err := b.ask(ctx, "/pod/"+namespace, from, to)
	parts := map[string]dashboard.Parts{}
	for _, p := range all.Pods {
		parts[p.Name] = dashboard.Parts{}
		for _, c := range p.Containers {
			parts[p.Name][c.Name] = c.column(m)
		}
	}
	return parts, err
}

// Nodes implements [dashboard.Truth].
func (b boardTruth) Nodes(ctx context.Context, m dashboard.Metric, from, to int64) (map[string]dashboard.Parts, error) {
	all, err := b.ask(ctx, "/node", from, to)
	parts := map[string]dashboard.Parts{}
	for _, n := range all.Nodes {
		parts[n.Name] = dashboard.Parts{"": n.column(m)}
	}
	return parts, err
}

func (b boardTruth) ask(ctx context.Context, path string, from, to int64) (all entities, err error) {
	body, err := b.f.get(ctx, b.f.c.Nodes[0], fmt.Sprintf("http://%s/api/v1%s?start=%d&end=%d", b.f.service, path, from, to))
	if err != nil {
		return all, err
	}
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		return all, err
	}
	if !all.Coverage.Complete {
		return all, fmt.Errorf("not all nodes have answered: %.1000s", body)
	}
	return all, nil
}

// column is what was measured of a metric, by slot.
func (n *named) column(m dashboard.Metric) map[int64]uint64 {
	name := map[dashboard.Metric]string{dashboard.CPU: "cpu", dashboard.Memory: "memory"}[m]
	values := map[int64]uint64{}
	for _, p := range n.Metrics {
		if v, ok := p[name]; ok {
			values[int64(p["timestamp"])] = v
		}
	}
	return values
}

// deleteOne deletes one of the pods of a Deployment, and waits until another one is
// there, and the one that was deleted is not.
func (f *fleet) deleteOne(namespace, labels, deployment string) {
	f.Helper()
	list := func(ctx context.Context) ([]corev1.Pod, error) {
		pods, err := f.c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels})
		if err != nil {
			return nil, err
		}
		return pods.Items, nil
	}
	before, err := list(f.Context())
	if err != nil || len(before) != 2 {
		f.Fatalf("there are %d of %s, %v", len(before), deployment, err)
	}
	f.kubectl(nil, "delete", "pod", "--namespace", namespace, before[0].Name)
	f.kubectl(nil, "rollout", "status", "--namespace", namespace, "deployment/"+deployment, "--timeout=2m")
	f.eventually("another one of "+deployment, func(ctx context.Context) error {
		now, err := list(ctx)
		if err == nil && (len(now) != 2 || slices.ContainsFunc(now, func(p corev1.Pod) bool { return p.UID == before[0].UID })) {
			err = fmt.Errorf("there are %d", len(now))
		}
		return err
	})
}

// boardGoesOn asks both Services all the while that something is done: no answer may
// fail, or be without any of the pods, and the Dashboard may never think that there is
// no scraper.
func (f *fleet) boardGoesOn(target dashboard.Target, what string, do func()) {
	f.Helper()
	ctx, stop := context.WithCancel(f.Context())
	defer stop()
	var mu sync.Mutex
	var asking sync.WaitGroup
	var wrong []string
	asked, partial := 0, 0
	for service, account := range boardServices {
		c := f.boardClient(account, service)
		defer c.Close()
		once := func() {
			pods, err := c.Pods(ctx, target.Namespace, target.Pods, dashboard.CPU)
			healthy := c.Healthy(ctx)
			if ctx.Err() != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			asked++
			at := time.Now().Format("15:04:05.000")
			switch {
			case err != nil:
				wrong = append(wrong, fmt.Sprintf("%s by %s: %v", at, service, err))
			case len(pods) == 0:
				wrong = append(wrong, fmt.Sprintf("%s by %s: empty", at, service))
			case len(pods) < len(target.Pods):
				partial++
			}
			if healthy != nil {
				wrong = append(wrong, fmt.Sprintf("%s by %s, health: %v", at, service, healthy))
			}
		}
		asking.Go(func() {
			t := time.NewTicker(boardEvery)
			defer t.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-t.C:
					// One that takes long does not keep others from being asked.
					asking.Go(once)
				}
			}
		})
	}
	do()
	stop()
	asking.Wait()
	f.Logf("while %s was deleted: asked %d times, %d answers lacked a pod", what, asked, partial)
	if asked == 0 {
		f.Errorf("nobody was asked while %s was deleted", what)
	}
	for _, text := range wrong[:min(len(wrong), 10)] {
		f.Errorf("while %s was deleted, at %s", what, text)
	}
}
