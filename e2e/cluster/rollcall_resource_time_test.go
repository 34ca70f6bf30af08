package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

const (
	// shownWithin is how long after its start a container's usage is known.
	shownWithin = time.Minute
	// staleSlots is for how many slots a node's last values are served.
	staleSlots = 3
)

// past leads to an aggregator directly, past the API server, as an admin.
func (u *usage) past(p corev1.Pod) *rest.Config {
	u.Helper()
	s, err := u.apiService(u.Context())
	if err != nil {
		u.Fatal(err)
	}
	cfg := rest.CopyConfig(u.c.REST)
	cfg.Host = "https://" + p.Status.PodIP + ":8443"
	cfg.CAFile, cfg.CAData, cfg.ServerName = "", s.Spec.CABundle, serviceOfRollcall+"."+rollcall+".svc"
	return cfg
}

// inTurn asks both aggregators directly, one after the other: what they say of a time
// is the same, and time does not go back.
func (u *usage) inTurn() {
	pods, err := u.pods(u.Context(), aggregators)
	if err != nil || len(pods) != 2 {
		u.Fatalf("%d aggregators, %v", len(pods), err)
	}
	b, asked := newBook(true), 0
	t := time.NewTicker(listEvery)
	defer t.Stop()
	for until := time.Now().Add(3 * slot); time.Now().Before(until); asked++ {
		p := pods[asked%2]
		if err := b.ask(u.Context(), u.asker(u.past(p))); err != nil {
			u.Fatalf("%s: %v", p.Name, err)
		}
		<-t.C
	}
	times := 0
	for _, answers := range b.answers {
		times += len(answers)
	}
	u.Logf("asked %d times, and heard of %d of %d times in all", asked, len(b.answers), times)
	for _, text := range b.wrong[:min(len(b.wrong), 5)] {
		u.Errorf("wrong: %s", text)
	}
	if times < 2*len(b.answers) || len(b.answers) == 0 {
		u.Error("that is too little to tell")
	}
}

// lives looks at pods that have just started, that have ended, that are to start, and
// that are on their way out.
func (u *usage) lives() {
	u.kubectl([]byte(u.readFile("testdata/usage-lives.yaml")), "apply", "-f", "-")
	pods := u.c.Client.CoreV1().Pods(usageNamespace)
	var started time.Time
	u.eventually("the pod that is late runs", func(ctx context.Context) error {
		p, err := pods.Get(ctx, "late", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].State.Running == nil {
			return fmt.Errorf("it is %s", p.Status.Phase)
		}
		started = p.Status.ContainerStatuses[0].State.Running.StartedAt.Time
		return nil
	})
	u.unknown("late", "")
	u.containers("late", within(10, map[string]int64{"burn": 50}), "burn")
	took := time.Since(started).Round(time.Second)
	u.Logf("usage is known %v after the container started", took)
	if took > shownWithin {
		u.Errorf("usage is known %v after the container started, want %v", took, shownWithin)
	}
	u.eventually("the pod that is done is", func(ctx context.Context) error {
		p, err := pods.Get(ctx, "done", metav1.GetOptions{})
		if err == nil && p.Status.Phase != corev1.PodSucceeded {
			err = fmt.Errorf("it is %s", p.Status.Phase)
		}
		return err
	})
	u.eventually("it is not shown any more", func(ctx context.Context) error {
		if _, err := u.metrics.PodMetricses(usageNamespace).Get(ctx, "done", metav1.GetOptions{}); err == nil {
			return errors.New("it is")
		}
		return nil
	})
	u.unknown("done", "")
	u.unknown("pending", "")

	u.kubectl(nil, "delete", "pod", "--namespace", usageNamespace, "late", "--wait=false")
	u.eventually("it is on its way out", func(ctx context.Context) error {
		p, err := pods.Get(ctx, "late", metav1.GetOptions{})
		if err == nil && p.DeletionTimestamp == nil {
			err = errors.New("it is not")
		}
		return err
	})
	if _, err := u.metrics.PodMetricses(usageNamespace).Get(u.Context(), "late", metav1.GetOptions{}); err != nil {
		u.Errorf("a pod on its way out: %v", err)
	}
	u.kubectl(nil, "delete", "pod", "--namespace", usageNamespace, "late", "done", "pending", "--force", "--grace-period=0")
}

// unknown checks that a pod has no metrics, and that the answer says why, in a word at
// least.
func (u *usage) unknown(pod, word string) {
	u.Helper()
	_, err := u.metrics.PodMetricses(usageNamespace).Get(u.Context(), pod, metav1.GetOptions{})
	if err := why(err, pod, word); err != nil {
		u.Error(err)
	}
	u.Logf("%v", err)
}

// why checks that an error is a 404 with more in it than the name, and with these
// words, or nil.
func why(err error, words ...string) error {
	var status interface{ Status() metav1.Status }
	if !errors.As(err, &status) || status.Status().Code != http.StatusNotFound {
		return fmt.Errorf("%v: want %d, got %v", words, http.StatusNotFound, err)
	}
	text := status.Status().Message
	if _, reason, found := strings.Cut(text, "not found: "); !found || reason == "" {
		return fmt.Errorf("%q does not say why", text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			return fmt.Errorf("%q does not say %q", text, word)
		}
	}
	return nil
}

// away is the node that is without a kubelet, and without an agent, while other checks
// go on.
func (u *usage) away() *cluster.Node { return u.c.Nodes[2] }

// kubeletAway stops a node's kubelet: its last values are served for a while, as they
// were, and then there are none, and answers say why. Then it takes away the agent as
// well, which nobody starts again: answers say that, too.
func (u *usage) kubeletAway() {
	n := u.away()
	agent := u.agent(n)
	stopped := time.Now()
	n.StopKubelet()
	var last, until time.Time // the newest values, and when they were served last
	u.eventually("the last values are not served any more", func(ctx context.Context) error {
		m, err := u.metrics.PodMetricses(rollcall).Get(ctx, agent.Name, metav1.GetOptions{})
		if err == nil {
			last, until = m.Timestamp.Time, time.Now()
			return fmt.Errorf("those of %v are", last)
		}
		return why(err, agent.Name, n.Name, "stale")
	})
	u.Logf("the last values are of %v after the kubelet was stopped, and were served until %v after",
		last.Sub(stopped).Round(time.Second), until.Sub(stopped).Round(time.Second))
	if last.After(stopped.Add(time.Second)) {
		u.Errorf("values of %v, though the kubelet was stopped at %v", last, stopped)
	}
	// The newest ones are of the slot before, or of the one in which it was stopped.
	if served := until.Sub(stopped); served < (staleSlots-1)*slot || served > (staleSlots+3)*slot {
		u.Errorf("they were served for %v, want %d slots", served, staleSlots)
	}
	_, err := u.metrics.NodeMetricses().Get(u.Context(), n.Name, metav1.GetOptions{})
	if err := why(err, n.Name, "stale"); err != nil {
		u.Error(err)
	}
	u.Log(err)
	u.kill(agent)
	u.eventually("answers say that the agent is gone", func(ctx context.Context) error {
		_, err = u.metrics.NodeMetricses().Get(ctx, n.Name, metav1.GetOptions{})
		if why(err, n.Name, "stale") == nil {
			return err
		}
		return why(err, n.Name)
	})
	u.Log(err)
	u.returns(n)
}

// returns starts a node's kubelet, and waits for new values.
func (u *usage) returns(n *cluster.Node) {
	u.Helper()
	began := time.Now()
	if err := n.StartKubelet(u.Context()); err != nil {
		u.Fatal(err)
	}
	u.eventually(n.Name+" is back", func(ctx context.Context) error {
		_, err := u.metrics.NodeMetricses().Get(ctx, n.Name, metav1.GetOptions{})
		return err
	})
	u.Logf("%s has new values after %v", n.Name, time.Since(began).Round(time.Second))
	if err := u.c.AwaitNodes(u.Context()); err != nil {
		u.Fatal(err)
	}
}
