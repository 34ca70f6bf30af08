package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

const (
	slot = 15 * time.Second
	// cutFor is how long a node is cut off, stoppedFor how long the API server is
	// stopped.
	cutFor     = time.Minute
	stoppedFor = 2 * time.Minute
)

// history is what is served of a node since a time.
func (f *fleet) history(ctx context.Context, n *cluster.Node, since time.Time) ([]point, error) {
	a, err := f.ask(ctx, f.other(n), fmt.Sprintf("/node/%s?start=%d", n.Name, since.Unix()))
	if err != nil {
		return nil, err
	}
	if !a.Coverage.Complete {
		return nil, fmt.Errorf("coverage %+v", a.Coverage)
	}
	return a.node(n.Name), nil
}

// served is as history, and waits for at least so many points.
func (f *fleet) served(n *cluster.Node, since time.Time, least int) (points []point) {
	f.Helper()
	f.eventually(fmt.Sprintf("%d points of %s", least, n.Name), func(ctx context.Context) (err error) {
		if points, err = f.history(ctx, n, since); err == nil && len(points) < least {
			err = fmt.Errorf("%d points", len(points))
		}
		return err
	})
	return points
}

// kept checks that all points before are still there, and unchanged.
func (f *fleet) kept(before, now []point) {
	f.Helper()
	have := map[point]bool{}
	for _, p := range now {
		have[p] = true
	}
	for _, p := range before {
		if !have[p] {
			f.Errorf("%+v is lost; %d points were there, %d are", p, len(before), len(now))
		}
	}
}

// gaps are the slots between the first and the last point that have none.
func gaps(points []point) (missing []int64) {
	for i, p := range points {
		for t := p.Timestamp + int64(slot/time.Second); i+1 < len(points) && t < points[i+1].Timestamp; t += int64(slot / time.Second) {
			missing = append(missing, t)
		}
	}
	return missing
}

// restarted waits until the container of a pod has been started again and is
// ready.
func (f *fleet) restarted(name string, before int32) {
	f.Helper()
	f.eventually(name+" is started again", func(ctx context.Context) error {
		p, err := f.c.Client.CoreV1().Pods(rollcall).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := p.Status.ContainerStatuses[0]; s.RestartCount <= before || !s.Ready {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

func (f *fleet) kill(p corev1.Pod) {
	f.Helper()
	if err := f.nodeOf(p).KillContainer(f.Context(), p.Status.ContainerStatuses[0].ContainerID); err != nil {
		f.Fatal(err)
	}
}

// delete deletes a pod, and waits until another one is ready in its place.
func (f *fleet) delete(p corev1.Pod) {
	f.Helper()
	f.kubectl(nil, "delete", "pod", "--namespace", rollcall, p.Name)
	n := f.nodeOf(p)
	f.eventually("a new agent on "+n.Name, func(ctx context.Context) error {
		pods, err := f.pods(ctx, agents)
		if err != nil {
			return err
		}
		for _, q := range pods {
			if q.Spec.NodeName == n.Name && q.UID != p.UID && len(q.Status.ContainerStatuses) > 0 && q.Status.ContainerStatuses[0].Ready {
				return nil
			}
		}
		return errors.New("none is ready")
	})
}

// agentKilled kills an agent without a word: nothing that it ever served is lost.
func (f *fleet) agentKilled() {
	n, began := f.c.Nodes[0], time.Now().Add(-5*time.Minute)
	before := f.served(n, began, 3)
	p := f.agent(n)
	f.kill(p)
	f.restarted(p.Name, p.Status.ContainerStatuses[0].RestartCount)
	f.complete("the agent answers again", time.Now())
	after := f.served(n, began, len(before)+1)
	f.kept(before, after)
	f.Logf("%d points before, %d after, slots without one: %v", len(before), len(after), gaps(after))
}

// agentDeleted deletes the pod, and with it, by its emptyDir, the history: that is
// a gap, and nobody makes up for it.
func (f *fleet) agentDeleted() {
	n, began := f.c.Nodes[0], time.Now().Add(-5*time.Minute)
	f.served(n, began, 3)
	deleted := time.Now()
	f.delete(f.agent(n))
	f.complete("the new agent answers", time.Now())
	after := f.served(n, began, 1)
	if first := after[0].Timestamp; first < deleted.Add(-slot).Unix() {
		f.Errorf("a point at %d, from before the pod was deleted at %d: %v", first, deleted.Unix(), after)
	}
	f.Logf("the pod was deleted at %d, the first point is at %d", deleted.Unix(), after[0].Timestamp)
}

// persistent keeps the history on the node's disk, through the death of the agent's
// container and of its pod; and where the directory cannot be written, the agent
// goes on from memory.
func (f *fleet) persistent() {
	f.apply(cluster.Manifests{Tag: newTag, Components: []string{"persistent"}}) // all at once
	n := f.spare()
	began := time.Now()
	f.complete("all answer from disk", began)
	p := f.agent(n)
	killed := f.served(n, began.Add(-slot), 1)
	f.kill(p)
	f.restarted(p.Name, p.Status.ContainerStatuses[0].RestartCount)
	f.kept(killed, f.served(n, began.Add(-slot), len(killed)+1))

	before := f.served(n, began.Add(-slot), 3)
	f.delete(f.agent(n))
	f.complete("the new agent answers", time.Now())
	after := f.served(n, began.Add(-slot), len(before)+1)
	f.kept(before, after)
	f.Logf("%d points before the pod was deleted, %d after, slots without one: %v", len(before), len(after), gaps(after))
	f.readOnlyDisk(n)
}

// readOnlyDisk takes the right to write from the directory on a node: the agent
// measures all the same, and says what is wrong.
func (f *fleet) readOnlyDisk(n *cluster.Node) {
	for _, args := range [][]string{
		{"mount", "--bind", "/var/lib/rollcall", "/var/lib/rollcall"},
		{"mount", "-o", "remount,ro,bind", "/var/lib/rollcall"},
	} {
		if _, err := n.Run(f.Context(), args[0], args[1:]...); err != nil {
			f.Fatal(err)
		}
	}
	p := f.agent(n)
	f.kubectl(nil, "delete", "pod", "--namespace", rollcall, p.Name)
	f.complete("the agent answers from memory", time.Now().Add(slot))
	f.eventually("it is not ready, and says why", func(ctx context.Context) error {
		body, err := f.get(ctx, n, "http://"+f.agent(n).Status.PodIP+":9812/readyz")
		if err == nil || !strings.Contains(err.Error(), "read-only") {
			return fmt.Errorf("%s, %v", body, err)
		}
		return nil
	})
	if _, err := n.Run(f.Context(), "umount", "/var/lib/rollcall"); err != nil {
		f.Fatal(err)
	}
}

// nodeCutOff takes the network from a node for a minute. The others go on
// answering, it is named, and its agent has measured all the while.
func (f *fleet) nodeCutOff() {
	n := f.spare()
	w := f.watch(f.other(n))
	cut := time.Now()
	if err := n.CutNetwork(f.Context()); err != nil {
		f.Fatal(err)
	}
	select {
	case <-time.After(cutFor):
	case <-f.Context().Done():
	}
	w.report(f, "while "+n.Name+" was cut off")
	w.failures(f, 0)
	if w.least != 2 || len(w.missing) != 1 || len(w.missing[n.Name]) == 0 {
		f.Errorf("at least %d nodes answered, missing were %v", w.least, w.missing)
	}
	healed := time.Now()
	if err := n.HealNetwork(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.complete("all nodes answer again", healed)
	f.Logf("all answer %v after healing", time.Since(healed).Round(time.Second))
	points := f.served(n, cut, 4)
	var during []point
	for _, p := range points {
		if p.Timestamp >= cut.Unix() && p.Timestamp < healed.Add(-slot).Unix() {
			during = append(during, p)
		}
	}
	if want := int(cutFor/slot) - 1; len(during) < want {
		f.Errorf("%d points of the minute without a network, want %d: %v", len(during), want, points)
	}
	if err := f.c.AwaitNodes(f.Context()); err != nil {
		f.Fatal(err)
	}
}

// kubeletStopped stops a kubelet: its agent serves the history, and says why there
// is nothing new.
func (f *fleet) kubeletStopped() {
	n := f.spare()
	before := f.served(n, time.Now().Add(-5*time.Minute), 3)
	n.StopKubelet()
	stopped := time.Now()
	aggregator := f.aggregator()
	f.eventually("the agent says why", func(context.Context) error {
		page, err := f.debug(aggregator, "/debug/nodes/"+n.Name+"/summary")
		if err == nil && !strings.Contains(page, "connection refused") {
			err = fmt.Errorf("it says %.300s", page)
		}
		return err
	})
	after, err := f.history(f.Context(), n, time.Unix(before[0].Timestamp, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.kept(before, after)
	if last := after[len(after)-1].Timestamp; last > stopped.Add(slot).Unix() {
		f.Errorf("a point at %d, long after the kubelet was stopped at %d", last, stopped.Unix())
	}
	if err := n.StartKubelet(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.complete("there is something new again", time.Now())
	if err := f.c.AwaitNodes(f.Context()); err != nil {
		f.Fatal(err)
	}
}

// aggregator is one of the aggregators' pods.
func (f *fleet) aggregator() corev1.Pod {
	f.Helper()
	pods, err := f.pods(f.Context(), aggregators)
	if err != nil || len(pods) == 0 {
		f.Fatalf("aggregators: %v, %v", pods, err)
	}
	return pods[0]
}

// debug reads a debug page of an aggregator, which is on its loopback: in the pod's
// network, as kubectl port-forward does.
func (f *fleet) debug(p corev1.Pod, path string) (string, error) {
	return f.nodeOf(p).Run(f.Context(), "nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", f.pid(p)), "curl", "--silent", "--show-error", "--fail-with-body", "http://127.0.0.1:9811"+path)
}

// aggregatorsKilled kills one aggregator under load, then deletes one, then kills
// both.
func (f *fleet) aggregatorsKilled() {
	pods, err := f.pods(f.Context(), aggregators)
	if err != nil || len(pods) != 2 {
		f.Fatalf("%d aggregators, %v", len(pods), err)
	}
	from := f.spare()
	w := f.watch(from)
	f.kill(pods[0])
	f.restarted(pods[0].Name, pods[0].Status.ContainerStatuses[0].RestartCount)
	w.report(f, "one aggregator killed")
	w.failures(f, watchers) // those in flight
	if w.least < 3 {
		f.Errorf("%d of 3 nodes answered: %v", w.least, w.missing)
	}

	w = f.watch(from)
	f.kubectl(nil, "delete", "pod", "--namespace", rollcall, pods[1].Name)
	f.kubectl(nil, "rollout", "status", "--namespace", rollcall, "deployment/rollcall-aggregator", "--timeout=2m")
	w.report(f, "one aggregator deleted")
	w.failures(f, 0)

	n, began := f.c.Nodes[0], time.Now().Add(-5*time.Minute)
	before := f.served(n, began, 3)
	if pods, err = f.pods(f.Context(), aggregators); err != nil {
		f.Fatal(err)
	}
	killed := time.Now()
	for _, p := range pods {
		f.kill(p)
	}
	f.complete("all answer after both were killed", time.Time{})
	f.Logf("both aggregators killed: all nodes answer %v later", time.Since(killed).Round(100*time.Millisecond))
	f.kept(before, f.served(n, began, len(before)))
	f.kubectl(nil, "rollout", "status", "--namespace", rollcall, "deployment/rollcall-aggregator", "--timeout=2m")
}

// apiServerStopped stops the API server for two minutes, and in the middle an
// agent, which then cannot enrol before it is back.
func (f *fleet) apiServerStopped() {
	n := f.c.Nodes[1]
	before := f.served(f.c.Nodes[0], time.Now().Add(-time.Minute), 2)
	agent := f.agent(n)
	w := f.watch(f.c.Nodes[0])
	stopped := time.Now()
	f.c.StopAPIServer()
	f.kill(agent)
	select {
	case <-time.After(stoppedFor):
	case <-f.Context().Done():
	}
	w.report(f, "API server stopped")
	w.failures(f, 0)
	if w.least != 2 || len(w.missing) != 1 || len(w.missing[n.Name]) == 0 {
		f.Errorf("missing were %v; only %s, which could not enrol, may be", w.missing, n.Name)
	}
	started := time.Now()
	if err := f.c.StartAPIServer(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.complete("the agent that waited has enrolled", started)
	f.Logf("all answer %v after the API server is back", time.Since(started).Round(time.Second))
	for _, node := range f.c.Nodes {
		points := f.served(node, stopped, 4)
		during := 0
		for _, p := range points {
			if p.Timestamp < started.Unix() {
				during++
			}
		}
		// One slot at each end, and one that the killed agent may have lost.
		if want := int(stoppedFor/slot) - 3; during < want {
			f.Errorf("%s has %d points of those two minutes, want %d: %v", node.Name, during, want, points)
		}
	}
	f.kept(before, f.served(f.c.Nodes[0], time.Unix(before[0].Timestamp, 0), len(before)))
}

// gossipKey rotates the key by the documented command.
func (f *fleet) gossipKey() {
	pods, err := f.pods(f.Context(), aggregators)
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range pods {
		f.believed(f.nodeOf(p))
	}
	f.eventually("both aggregators are asked", func(ctx context.Context) error {
		ready := f.kubectl(nil, "get", "endpointslices", "--namespace", rollcall, "-l", "kubernetes.io/service-name=rollcall-aggregator",
			"-o", "jsonpath={.items[*].endpoints[*].conditions.ready}")
		if ready != "true true" {
			return errors.New(ready)
		}
		return nil
	})
	f.complete("all nodes answer", time.Time{})
	secret := func() string {
		return f.kubectl(nil, "get", "secret", "--namespace", rollcall, "rollcall-gossip", "--output", "jsonpath={.data}")
	}
	before, w := secret(), f.watch(f.c.Nodes[0])
	out := f.kubectl(nil, "--namespace", rollcall, "exec", "deploy/rollcall-aggregator", "--", "/rollcall-aggregator", "rotate-gossip-key")
	w.report(f, "gossip key rotated")
	w.failures(f, 0)
	if w.least < 3 {
		f.Errorf("%d of 3 nodes answered: %v", w.least, w.missing)
	}
	if !strings.Contains(out, "done") || secret() == before {
		f.Errorf("the key is the same: %s", out)
	}
}

// upgrade rolls out the second images under load.
func (f *fleet) upgrade() {
	f.believed(f.c.Nodes...)
	w := f.begin(&watch{replaced: true}, f.spare())
	f.apply(cluster.Manifests{Tag: newTag, Patches: smallFleet})
	f.complete("all nodes answer after the upgrade", time.Now())
	w.report(f, "upgraded")
	w.failures(f, 0)
	if w.least < 2 {
		f.Errorf("%d of 3 nodes answered: %v", w.least, w.missing)
	}
	for _, labels := range []string{agents, aggregators} {
		pods, err := f.pods(f.Context(), labels)
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range pods {
			if body, err := f.get(f.Context(), f.c.Nodes[0], "http://"+p.Status.PodIP+":9812/metrics"); err != nil || !strings.Contains(body, `version="`+newTag+`"`) {
				f.Errorf("%s is not %s: %v", p.Name, newTag, err)
			}
		}
	}
}
