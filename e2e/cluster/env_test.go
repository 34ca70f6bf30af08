package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

// An env is a test with its cluster.
type env struct {
	*testing.T
	c *cluster.Cluster
	// ips of pods: node and daemon set to address.
	ips map[string]string
}

// eventually waits until try works.
func (e *env) eventually(what string, try func(ctx context.Context) error) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			e.Fatalf("%s: not within %v: %v", what, patience, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// deploy deploys the pods and takes down their addresses.
func (e *env) deploy() {
	manifest, err := os.ReadFile("testdata/pods.yaml")
	if err != nil {
		e.Fatal(err)
	}
	if _, err := e.c.Kubectl(e.Context(), manifest, "apply", "-f", "-"); err != nil {
		e.Fatal(err)
	}
	for _, name := range []string{"web", "load"} {
		if _, err := e.c.Kubectl(e.Context(), nil, "rollout", "status", "--namespace", namespace, "daemonset/"+name, "--timeout=2m"); err != nil {
			e.Fatal(err)
		}
	}
	e.learn()
}

// learn takes down the pods' addresses.
func (e *env) learn() {
	e.ips = map[string]string{}
	for _, n := range e.c.Nodes {
		for _, app := range []string{"web", "load"} {
			p, err := e.pod(e.Context(), n, app)
			if err != nil {
				e.Fatal(err)
			}
			e.ips[n.Name+" "+app] = p.Status.PodIP
		}
	}
}

// get asks from a node's network.
func (e *env) get(ctx context.Context, n *cluster.Node, url string) (string, error) {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// pod is the pod of a daemon set on a node.
func (e *env) pod(ctx context.Context, n *cluster.Node, app string) (*corev1.Pod, error) {
	pods, err := e.c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: "app=" + app, FieldSelector: "spec.nodeName=" + n.Name})
	if err != nil {
		return nil, err
	}
	if len(pods.Items) != 1 {
		return nil, fmt.Errorf("%d pods of %s on %s", len(pods.Items), app, n.Name)
	}
	return &pods.Items[0], nil
}

// answered checks that these containers of load on these nodes get answers now.
func (e *env) answered(nodes []*cluster.Node, containers ...string) {
	e.Helper()
	type asker struct {
		node      *cluster.Node
		container string
	}
	waiting := map[asker]counts{} // as they were last
	for _, n := range nodes {
		for _, container := range containers {
			waiting[asker{n, container}] = counts{Asked: -1}
		}
	}
	e.eventually("answers", func(ctx context.Context) error {
		var errs []error
		for a, before := range waiting {
			now, err := e.load(ctx, a.node, a.container)
			switch {
			case err != nil:
				errs = append(errs, err)
			case before.Asked >= 0 && now.Asked > before.Asked && now.Failed == before.Failed:
				delete(waiting, a)
			default:
				waiting[a] = now
				errs = append(errs, fmt.Errorf("%s, %s: %+v, before %+v", a.node.Name, a.container, now, before))
			}
		}
		return errors.Join(errs...)
	})
}

// counts are what load tells.
type counts struct {
	Asked, Failed int
	LastError     string
}

// load is what a container of load on a node has counted. It is asked from its
// own node, so that it can be asked when that is cut off.
func (e *env) load(ctx context.Context, n *cluster.Node, container string) (s counts, err error) {
	port := map[string]int{"service": 8081, "headless": 8082, "kubernetes": 8083, "kubelet": 8084}[container]
	body, err := e.get(ctx, n, fmt.Sprintf("http://%s:%d/summary", e.ips[n.Name+" load"], port))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(body), &s)
}

func (e *env) kubectl(stdin []byte, args ...string) string {
	e.Helper()
	out, err := e.c.Kubectl(e.Context(), stdin, args...)
	if err != nil {
		e.Fatal(err)
	}
	return out
}

// raw gets a path of the API server.
func (e *env) raw(ctx context.Context, path string) ([]byte, error) {
	return e.c.Client.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(ctx)
}

// readFile is a file of the test's own.
func (e *env) readFile(name string) string {
	e.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		e.Fatal(err)
	}
	return string(text)
}

// believed waits until Kubernetes believes in these nodes, now and in a moment: after
// the API server was away, a kubelet may take a minute and a half to renew its lease,
// and before that its node is taken for dead, for a while, with all its pods.
func (e *env) believed(nodes ...*cluster.Node) {
	e.Helper()
	const renewed = 15 * time.Second // kubelets do each 10 s
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	e.eventually(fmt.Sprintf("%v have renewed their leases", names), func(ctx context.Context) error {
		for _, name := range names {
			l, err := e.c.Client.CoordinationV1().Leases("kube-node-lease").Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if l.Spec.RenewTime == nil || time.Since(l.Spec.RenewTime.Time) > renewed {
				return fmt.Errorf("%s did so at %v", name, l.Spec.RenewTime)
			}
		}
		return nil
	})
	if err := e.c.AwaitNodes(e.Context(), names...); err != nil {
		e.Fatal(err)
	}
}
