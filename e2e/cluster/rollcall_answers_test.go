package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

// answers checks what comes back against what the kubelet itself says of the same
// moments.
func (f *fleet) answers() {
	var cart *corev1.Pod
	f.eventually("the pod that burns runs", func(ctx context.Context) (err error) {
		if cart, err = f.c.Client.CoreV1().Pods("shop").Get(ctx, "cart", metav1.GetOptions{}); err == nil && cart.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("it is %s", cart.Status.Phase)
		}
		return err
	})
	// All that the kubelet says for a while, and when it measured that, in Unix
	// seconds.
	said := map[point][]int64{}
	began := time.Now()
	f.eventually("a minute of the kubelet's own answers", func(ctx context.Context) error {
		if err := f.kubeletSays(ctx, cart, said); err != nil {
			return err
		}
		if d := time.Since(began); d < 75*time.Second {
			return fmt.Errorf("%v have passed", d)
		}
		return nil
	})
	a, err := f.ask(f.Context(), f.c.Nodes[0], fmt.Sprintf("/pod/shop/cart/burn?start=%d&end=%d", began.Add(30*time.Second).Unix(), time.Now().Unix()))
	if err != nil {
		f.Fatal(err)
	}
	if len(a.Pods) != 1 || a.Pods[0].Namespace != "shop" || a.Pods[0].Name != "cart" || len(a.Pods[0].Containers) != 1 || len(a.Pods[0].Containers[0].Metrics) < 2 {
		f.Fatalf("one container answers %+v", a)
	}
	for _, p := range a.Pods[0].Containers[0].Metrics {
		// A slot's sample is fetched in the slot's first half, and was measured up to
		// some 20 s before.
		if !slices.ContainsFunc(said[point{CPU: p.CPU, Memory: p.Memory}], func(at int64) bool { return at > p.Timestamp-30 && at < p.Timestamp+15 }) {
			f.Errorf("%+v, which the kubelet has not said of that time: %v", p, said)
		}
		if math.Abs(float64(p.CPU)-100) > 25 || p.Memory < 50_000_000 || p.Memory > 60_000_000 {
			f.Errorf("%+v of a container that uses 100 thousandths of a core and 50 MB", p)
		}
	}
	f.shapes()
}

// kubeletSays adds what the kubelet says of the container burn.
func (f *fleet) kubeletSays(ctx context.Context, pod *corev1.Pod, said map[point][]int64) error {
	body, err := f.raw(ctx, "/api/v1/nodes/"+pod.Spec.NodeName+"/proxy/stats/summary")
	if err != nil {
		return err
	}
	var summary stats.Summary
	if err := json.Unmarshal(body, &summary); err != nil {
		return err
	}
	for _, p := range summary.Pods {
		for _, c := range p.Containers {
			if p.PodRef.Name == pod.Name && c.Name == "burn" && c.CPU != nil && c.CPU.UsageNanoCores != nil && c.Memory != nil && c.Memory.WorkingSetBytes != nil {
				p := point{CPU: int64(math.Round(float64(*c.CPU.UsageNanoCores) / 1e6)), Memory: int64(*c.Memory.WorkingSetBytes)}
				said[p] = append(said[p], c.CPU.Time.Unix())
			}
		}
	}
	return nil
}

// shapes checks the other questions: a node, a namespace, a whole pod.
func (f *fleet) shapes() {
	a, err := f.ask(f.Context(), f.c.Nodes[1], "/node/node-2?window=1m")
	if err != nil || len(a.Nodes) != 1 || a.Nodes[0].Name != "node-2" || len(a.Nodes[0].Metrics) == 0 || a.Coverage.Expected != 1 {
		f.Errorf("one node: %+v, %v", a, err)
	}
	a, err = f.ask(f.Context(), f.c.Nodes[1], "/pod/shop?window=1m")
	if err != nil || len(a.Pods) != 1 || len(a.Pods[0].Containers) != 2 || !a.Coverage.Complete {
		f.Errorf("a namespace: %+v, %v", a, err)
	}
	if _, err := f.ask(f.Context(), f.c.Nodes[1], "/pod/shop/nobody"); err == nil || !strings.Contains(err.Error(), "404") {
		f.Errorf("a pod that is not there: %v", err)
	}
}

// unsupported registers nodes that no agent can run on: they are told apart, with
// the reason, and nobody waits for them.
func (f *fleet) unsupported() {
	const nodes = `
apiVersion: v1
kind: Node
metadata: {name: win-1, labels: {kubernetes.io/os: windows}}
---
apiVersion: v1
kind: Node
metadata: {name: virtual-1, labels: {kubernetes.io/os: linux, type: virtual-kubelet}}
`
	f.kubectl([]byte(nodes), "apply", "-f", "-")
	f.eventually("they are told apart", func(ctx context.Context) error {
		a, err := f.ask(ctx, f.c.Nodes[0], "/node?window=1m")
		if err != nil {
			return err
		}
		c := a.Coverage
		if c.Expected != 3 || !c.Complete || len(c.Unsupported) != 2 ||
			!strings.Contains(c.Unsupported[0].Reason, "virtual") || !strings.Contains(c.Unsupported[1].Reason, "kubernetes.io/os") {
			return fmt.Errorf("%+v", c)
		}
		f.Logf("%+v", c)
		return nil
	})
	if _, err := f.ask(f.Context(), f.c.Nodes[0], "/node/win-1"); err == nil || !strings.Contains(err.Error(), "404") || !strings.Contains(err.Error(), "kubernetes.io/os") {
		f.Errorf("the one: %v", err)
	}
	f.kubectl(nil, "delete", "node", "win-1", "virtual-1")
	f.eventually("they are gone", func(ctx context.Context) error {
		a, err := f.ask(ctx, f.c.Nodes[0], "/node?window=1m")
		if err == nil && len(a.Coverage.Unsupported) > 0 {
			err = fmt.Errorf("%+v", a.Coverage)
		}
		return err
	})
}

// restrictedForReal looks at the processes themselves: they are what Pod Security
// "restricted" says.
func (f *fleet) restrictedForReal() {
	ns, err := f.c.Client.CoreV1().Namespaces().Get(f.Context(), rollcall, metav1.GetOptions{})
	if err != nil || ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		f.Errorf("namespace %v, %v", ns.Labels, err)
	}
	for _, labels := range []string{agents, aggregators} {
		pods, err := f.pods(f.Context(), labels)
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range pods {
			pid := f.pid(p)
			status := f.read(p, fmt.Sprintf("/proc/%d/status", pid))
			for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t65532\t", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
				if !strings.Contains(status, want) {
					f.Errorf("%s has not %q:\n%s", p.Name, want, status)
				}
			}
			if mounts := f.read(p, fmt.Sprintf("/proc/%d/mounts", pid)); !rootReadOnly(mounts) {
				f.Errorf("the root of %s can be written to:\n%s", p.Name, mounts)
			}
		}
	}
}

func rootReadOnly(mounts string) bool {
	readOnly := false
	for line := range strings.Lines(mounts) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[1] == "/" {
			readOnly = strings.HasPrefix(fields[3]+",", "ro,") // the last one counts
		}
	}
	return readOnly
}

// nodeOf is the node of a pod.
func (f *fleet) nodeOf(p corev1.Pod) *cluster.Node {
	for _, n := range f.c.Nodes {
		if n.Name == p.Spec.NodeName {
			return n
		}
	}
	f.Fatalf("%s runs on %q", p.Name, p.Spec.NodeName)
	return nil
}

// pid is the process of a pod's only container, as its node sees it.
func (f *fleet) pid(p corev1.Pod) int {
	f.Helper()
	pid, err := f.nodeOf(p).ContainerPID(f.Context(), p.Status.ContainerStatuses[0].ContainerID)
	if err != nil {
		f.Fatal(err)
	}
	return pid
}

// read reads a file on the node of a pod.
func (f *fleet) read(p corev1.Pod, path string) string {
	f.Helper()
	out, err := f.nodeOf(p).Run(f.Context(), "cat", path)
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// mounted reads a file as a pod's container sees it.
func (f *fleet) mounted(p corev1.Pod, path string) string {
	f.Helper()
	return strings.TrimSpace(f.read(p, "/proc/"+strconv.Itoa(f.pid(p))+"/root"+path))
}
