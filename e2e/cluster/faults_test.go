package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

func (e *env) dns() {
	var want []string
	for _, n := range e.c.Nodes {
		want = append(want, e.ips[n.Name+" web"])
	}
	slices.Sort(want)
	for _, n := range e.c.Nodes {
		e.eventually(n.Name+" resolves a headless Service", func(ctx context.Context) error {
			got, err := n.Resolver().LookupHost(ctx, "web-headless."+namespace+".svc.cluster.local.")
			slices.Sort(got)
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("got %v, want %v", got, want)
			}
			return err
		})
	}
}

// service asks a Service from every node until pods of all nodes have answered.
func (e *env) service() {
	svc, err := e.c.Client.CoreV1().Services(namespace).Get(e.Context(), "web", metav1.GetOptions{})
	if err != nil {
		e.Fatal(err)
	}
	for _, n := range e.c.Nodes {
		answered := map[string]bool{}
		e.eventually(n.Name+" reaches the pods of all nodes", func(ctx context.Context) error {
			name, err := e.get(ctx, n, "http://"+svc.Spec.ClusterIP)
			if err != nil {
				return err
			}
			answered[strings.TrimSpace(name)] = true
			if len(answered) < len(e.c.Nodes) {
				return fmt.Errorf("only %v have answered", answered)
			}
			return nil
		})
	}
}

// restricted checks that Pod Security refuses what it should: the pods that run
// here are checked by it.
func (e *env) restricted() {
	_, err := e.c.Kubectl(e.Context(), nil, "run", "--namespace", namespace, "loose", "--image", "rollcall.test/workload:test", "--image-pull-policy=Never")
	if err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
		e.Errorf("a pod that is not restricted: %v", err)
	}
}

func (e *env) killContainer() {
	n := e.c.Nodes[0]
	p, err := e.pod(e.Context(), n, "web")
	if err != nil {
		e.Fatal(err)
	}
	if err := n.KillContainer(e.Context(), p.Status.ContainerStatuses[0].ContainerID); err != nil {
		e.Fatal(err)
	}
	e.eventually("a restart", func(ctx context.Context) error {
		p, err := e.pod(ctx, n, "web")
		if err != nil {
			return err
		}
		s := p.Status.ContainerStatuses[0]
		if s.RestartCount != 1 || !s.Ready || s.LastTerminationState.Terminated.ExitCode != 137 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// apiServer checks that Services and DNS do without the API server.
func (e *env) apiServer() {
	e.c.StopAPIServer()
	if _, err := e.c.Kubectl(e.Context(), nil, "get", "nodes"); err == nil {
		e.Error("the API server answers")
	}
	e.answered(e.c.Nodes, "service", "headless")
	if err := e.c.StartAPIServer(e.Context()); err != nil {
		e.Fatal(err)
	}
	if err := e.c.AwaitNodes(e.Context()); err != nil {
		e.Fatal(err)
	}
	e.answered(e.c.Nodes, "kubernetes", "kubelet")
}

func (e *env) kubeletAway() {
	n := e.c.Nodes[1]
	n.StopKubelet()
	if counts, err := e.load(e.Context(), n, "kubelet"); err != nil {
		e.Error(err)
	} else {
		e.eventually("a failed question to the kubelet", func(ctx context.Context) error {
			now, err := e.load(ctx, n, "kubelet")
			if err == nil && now.Failed == counts.Failed {
				err = errors.New("none has failed")
			}
			return err
		})
	}
	e.answered([]*cluster.Node{n}, "headless")
	if err := n.StartKubelet(e.Context()); err != nil {
		e.Fatal(err)
	}
	e.answered([]*cluster.Node{n}, "kubelet")
}

// cutOff checks that a node without a network keeps its pods, which reach its
// kubelet and nobody else.
func (e *env) cutOff() {
	n, other := e.c.Nodes[2], e.c.Nodes[0]
	if err := n.CutNetwork(e.Context()); err != nil {
		e.Fatal(err)
	}
	web := "http://" + e.ips[n.Name+" web"] + ":8080"
	if _, err := e.get(e.Context(), other, web); err == nil {
		e.Errorf("%s answers %s", n.Name, other.Name)
	}
	if _, err := e.get(e.Context(), n, "http://"+e.ips[other.Name+" web"]+":8080"); err == nil {
		e.Errorf("%s answers %s", other.Name, n.Name)
	}
	if _, err := e.get(e.Context(), n, web); err != nil {
		e.Errorf("%s does not reach its own pods: %v", n.Name, err)
	}
	// A kubelet checks tokens with the API server, and trusts an answer for two
	// minutes.
	if counts, err := e.load(e.Context(), n, "kubelet"); err != nil {
		e.Error(err)
	} else {
		e.Logf("the kubelet of a node that is cut off: %+v", counts)
	}
	if err := n.HealNetwork(e.Context()); err != nil {
		e.Fatal(err)
	}
	if err := e.c.AwaitNodes(e.Context()); err != nil {
		e.Fatal(err)
	}
	e.answered([]*cluster.Node{n, other}, "service", "headless", "kubernetes", "kubelet")
}

func (e *env) powerCut() {
	n := e.c.Nodes[1]
	if err := n.PowerOff(); err != nil {
		e.Fatal(err)
	}
	if _, err := e.get(e.Context(), e.c.Nodes[0], "http://"+e.ips[n.Name+" web"]+":8080"); err == nil {
		e.Errorf("a pod of %s answers", n.Name)
	}
	began := time.Now()
	if err := n.PowerOn(e.Context()); err != nil {
		e.Fatal(err)
	}
	e.eventually("its pods run again", func(ctx context.Context) error {
		for _, app := range []string{"web", "load"} {
			p, err := e.pod(ctx, n, app)
			if err != nil {
				return err
			}
			if p.Status.Phase != corev1.PodRunning || p.Status.ContainerStatuses[0].RestartCount == 0 || p.Status.PodIP == "" {
				return fmt.Errorf("%s: %s, %+v", app, p.Status.Phase, p.Status.ContainerStatuses)
			}
			e.ips[n.Name+" "+app] = p.Status.PodIP
		}
		return nil
	})
	e.Logf("its pods run %v after it was switched on", time.Since(began).Round(time.Second))
	e.answered(e.c.Nodes, "service", "headless", "kubernetes", "kubelet")
}
