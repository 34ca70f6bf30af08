package resource

import (
	"testing"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPlaces is pods that are on other nodes, under other UIDs, or in other phases
// than somebody says.
func TestPlaces(t *testing.T) {
	play(t, map[string]script{
		"StatefulSet's pod that moves": func(f *fleet) {
			old, next := f.nodes["node-1"], f.nodes["node-2"]
			f.run(old, "shop/db-0/1", "db")[0].uses(usage{900 * milli, 512 * mebi})
			f.begin()
			f.until(92)
			f.expect("shop/db-0", "db 900m 512Mi @80 20s")
			f.until(101)
			f.run(next, "shop/db-0/2", "db")[0].uses(usage{50 * milli, 32 * mebi})
			f.expect("shop/db-0", "none: the kubelet of node node-2 has not measured it yet")
			f.until(122)
			f.expect("shop/db-0", "none: the kubelet of node node-2 has not measured it yet")
			f.until(137) // the old one is still reported
			f.expect("shop/db-0", "db 50m 32Mi @120 19s")
			f.until(152)
			f.expect("shop/db-0", "db 50m 32Mi @130 10s")
		},
		"pod made anew on its node": func(f *fleet) {
			old := f.run(f.node(), "shop/db-0/1", "db")[0]
			old.uses(usage{900 * milli, 512 * mebi})
			f.begin()
			f.until(101)
			f.expect("shop/db-0", "db 900m 512Mi @90 10s")
			f.run(f.node(), "shop/db-0/2", "db")[0].uses(usage{950 * milli, 32 * mebi})
			f.expect("shop/db-0", "none: the kubelet of node node-1 still reports another pod of that name, with UID 1 instead of 2")
			f.until(122)
			f.expect("shop/db-0", "none: container db: its CPU was measured only once so far")
			f.until(137) // both are reported
			f.expect("shop/db-0", "db 950m 32Mi @120 10s")
			old.end()
			f.until(152)
			f.expect("shop/db-0", "db 950m 32Mi @140 20s")
		},
		"node that claims the pod of another": func(f *fleet) {
			f.run(f.node(), "shop/cart/1", "app")
			f.nodes["node-2"].add("shop/cart/1", "app", schedule{10, 3}).uses(usage{9000 * milli, 9 * mebi})
			f.begin()
			f.until(92)
			f.expect("shop/cart", "app 100m 64Mi @80 20s")
			f.node().kill() // it does not stand in for it
			f.until(152)
			f.expect("shop/cart", "none: node node-1: refused …")
		},
		"node that claims a pod that does not run": func(f *fleet) {
			f.nodes["node-2"].add("shop/cart/1", "app", schedule{10, 3})
			f.begin()
			f.until(92)
			f.expect("shop/cart", "none: there is no running pod of that name")
		},
		"node that cannot run the agent": func(f *fleet) {
			f.expected.reasons = map[string]string{"virtual": "it runs Windows"}
			f.tell(&node{name: "virtual"}, "shop/cart/1", "app")
			f.begin()
			f.until(92)
			f.expect("shop/cart", "none: node virtual cannot run the agent: it runs Windows")
			f.expect("virtual", "none: node virtual cannot run the agent: it runs Windows")
		},
		"static pod": func(f *fleet) { // the kubelet knows it by a hash, the API server by a UID
			f.run(f.node(), "kube-system/etcd-node-1/9f86d081884c7d65", "etcd")
			f.edit("kube-system/etcd-node-1", func(p *core.Pod) {
				p.UID = "5c8f1a52-6f0e-4d8f-8e5b-2a0f6d1c9b11"
				p.Annotations = map[string]string{core.MirrorPodAnnotationKey: "9f86d081884c7d65"}
			})
			f.begin()
			f.until(92)
			f.expect("kube-system/etcd-node-1", "etcd 100m 64Mi @80 20s")
		},
		"pending, running, succeeded": func(f *fleet) {
			phase := func(phase core.PodPhase) { f.edit("shop/job", func(p *core.Pod) { p.Status.Phase = phase }) }
			f.run(f.node(), "shop/job/1", "work")
			phase(core.PodPending)
			f.begin()
			f.until(92)
			f.expect("shop/job", "none: there is no running pod of that name")
			phase(core.PodRunning)
			f.expect("shop/job", "work 100m 64Mi @80 20s")
			phase(core.PodSucceeded)
			f.expect("shop/job", "none: there is no running pod of that name")
		},
		"failed": func(f *fleet) {
			f.run(f.node(), "shop/job/1", "work")
			f.begin()
			f.until(92)
			f.edit("shop/job", func(p *core.Pod) { p.Status.Phase = core.PodFailed })
			f.expect("shop/job", "none: there is no running pod of that name")
		},
		"terminating": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(92)
			f.edit("shop/cart", func(p *core.Pod) { p.DeletionTimestamp = new(metav1.Now()) })
			f.expect("shop/cart", "app 100m 64Mi @80 20s")
			f.until(107)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			app.end()
			f.until(122)
			f.expect("shop/cart", "none: the kubelet of node node-1 has not measured it yet")
			f.forget("shop/cart")
			f.expect("shop/cart", "none: there is no running pod of that name")
		},
	})
}

// TestContainers is pods of which the API server and the kubelet have different
// containers.
func TestContainers(t *testing.T) {
	play(t, map[string]script{
		"one that was not measured": func(f *fleet) {
			f.run(f.node(), "shop/cart/1", "app")
			f.tell(f.node(), "shop/cart/1", "app", "log")
			f.begin()
			f.until(92)
			f.expect("shop/cart", "none: container log has started, and was not measured yet")
			f.node().add("shop/cart/1", "log", schedule{10, 5})
			f.until(107) // for the first time at 95
			f.expect("shop/cart", "none: container log: its CPU was measured only once so far")
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi, log 100m 64Mi @105 15s")
		},
		"none that was measured": func(f *fleet) {
			f.tell(f.node(), "shop/cart/1", "app")
			f.node().add("shop/cart/1", "", schedule{10, 0}) // the pod itself
			f.begin()
			f.until(92)
			f.expect("shop/cart", "none: none of its containers was measured yet")
		},
		"none that runs": func(f *fleet) { // all wait to be started again
			f.tell(f.node(), "shop/cart/1")
			f.begin()
			f.until(92)
			f.expect("shop/cart", "none: the kubelet of node node-1 has not measured it yet")
		},
		"one that has ended": func(f *fleet) {
			all := f.run(f.node(), "shop/cart/1", "app", "migrate")
			f.begin()
			f.until(92)
			f.expect("shop/cart", "app 100m 64Mi, migrate 100m 64Mi @80 20s")
			f.tell(f.node(), "shop/cart/1", "app")
			all[1].end()
			f.until(107)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
		},
		"ephemeral one that comes and goes": func(f *fleet) {
			f.run(f.node(), "shop/cart/1", "app")
			f.begin()
			f.until(93)
			debug := f.node().add("shop/cart/1", "debugger", schedule{10, 0})
			debug.uses(usage{700 * milli, 8 * mebi})
			f.expect("shop/cart", "app 100m 64Mi @80 20s")
			f.until(107) // app was measured at 90, debugger not yet
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi, debugger 700m 8Mi @110 20s")
			debug.end()
			f.until(137)
			f.expect("shop/cart", "app 100m 64Mi @120 10s")
		},
		"two of one name": func(f *fleet) { // the one that has ended is still reported
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(92)
			app.uses(usage{})
			f.node().add("shop/cart/1", "app", schedule{10, 4}).uses(usage{300 * milli, 32 * mebi})
			f.until(107)
			f.expect("shop/cart", "none: container app: its CPU was measured only once so far")
			f.until(122)
			f.expect("shop/cart", "app 300m 32Mi @104 10s")
		},
		"measured at different times": func(f *fleet) {
			f.node().add("shop/cart/1", "app", schedule{10, 1})
			f.node().add("shop/cart/1", "log", schedule{17, 0})
			f.node().add("shop/cart/1", "web", schedule{30, 12})
			f.tell(f.node(), "shop/cart/1", "app", "log", "web")
			f.begin()
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi, log 100m 64Mi, web 100m 64Mi @99 27s") // web: 72 to 102
			f.until(137)
			f.expect("shop/cart", "app 100m 64Mi, log 100m 64Mi, web 100m 64Mi @102 30s")
		},
		"measured at different times, and one goes on": func(f *fleet) {
			app := f.node().add("shop/cart/1", "app", schedule{10, 1})
			f.node().add("shop/cart/1", "web", schedule{30, 12})
			f.tell(f.node(), "shop/cart/1", "app", "web")
			f.begin()
			f.until(116)
			app.uses(usage{300 * milli, 128 * mebi})
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi, web 100m 64Mi @…")
			f.until(137) // app was measured at 121, and web at 102: nothing is said to be newer than it is
			f.expect("shop/cart", "app 200m 128Mi, web 100m 64Mi @102 30s")
		},
		"sidecar": func(f *fleet) {
			all := f.run(f.node(), "shop/cart/1", "app", "proxy")
			sidecar := func(p *core.Pod) {
				always := core.ContainerRestartPolicyAlways
				p.Spec.InitContainers, p.Spec.Containers = p.Spec.Containers[1:], p.Spec.Containers[:1]
				p.Spec.InitContainers[0].RestartPolicy = &always
				p.Status.InitContainerStatuses, p.Status.ContainerStatuses = p.Status.ContainerStatuses[1:], p.Status.ContainerStatuses[:1]
			}
			f.edit("shop/cart", sidecar)
			f.begin()
			f.until(92)
			f.expect("shop/cart", "app 100m 64Mi, proxy 100m 64Mi @80 20s")
			all[1].end()
			f.until(107)
			f.expect("shop/cart", "none: container proxy has started, and was not measured yet")
		},
	})
}
