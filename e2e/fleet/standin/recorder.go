package standin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// A recorder gathers answers into a trace: per entity over all answers, where
// an answer is per moment over all entities.
type recorder struct {
	asked timeline
	shown map[string]moment // see answerReader
	node  nodeTrace
	pods  map[string]*podTrace // by UID
}

func newRecorder() *recorder {
	return &recorder{shown: map[string]moment{}, pods: map[string]*podTrace{}}
}

// add takes in the next answer.
func (r *recorder) add(a *answer) error {
	if n := len(r.asked); n > 0 && a.ScrapedAt <= r.asked[n-1] {
		return fmt.Errorf("scrapedAt %d is not after the answer before", a.ScrapedAt)
	}
	r.asked = append(r.asked, a.ScrapedAt)
	if len(r.asked) == 1 {
		if err := r.first(a); err != nil {
			return err
		}
	}
	if len(a.Summary.Pods) != len(r.pods) {
		return fmt.Errorf("has %d pods, the first answer has %d", len(a.Summary.Pods), len(r.pods))
	}
	read := &answerReader{asked: r.asked, shown: r.shown}
	r.node.answers = append(r.node.answers, read.node(&a.Summary.Node))
	for i := range a.Summary.Pods {
		p := &a.Summary.Pods[i]
		known := r.pods[p.PodRef.UID]
		if known == nil || len(known.containers) != len(p.Containers) {
			return fmt.Errorf("pod %s or its containers are not those of the first answer", p.PodRef.Name)
		}
		known.answers = append(known.answers, read.pod(p))
		for j := range p.Containers {
			c := &p.Containers[j]
			k := slices.IndexFunc(known.containers, func(k containerTrace) bool { return k.name == c.Name })
			if k < 0 {
				return fmt.Errorf("pod %s: container %s is not in the first answer", p.PodRef.Name, c.Name)
			}
			known.containers[k].answers = append(known.containers[k].answers, read.container(p.PodRef.Name, c))
		}
	}
	return read.err
}

// first learns names and start times, which stay the same in all answers.
func (r *recorder) first(a *answer) error {
	n := &a.Summary.Node
	if n.Network == nil || len(n.SystemContainers) == 0 {
		return errors.New("the node's network or systemContainers are missing")
	}
	r.node.uptime = a.ScrapedAt - n.StartTime.Unix()
	r.node.podsDelay = n.SystemContainers[0].StartTime.Unix() - n.StartTime.Unix()
	for _, i := range n.Network.Interfaces {
		r.node.interfaces = append(r.node.interfaces, i.Name)
	}
	for i := range a.Summary.Pods {
		p := &a.Summary.Pods[i]
		r.pods[p.PodRef.UID] = podNames(p)
	}
	return nil
}

func podNames(p *stats.PodStats) *podTrace {
	t := &podTrace{namespace: p.PodRef.Namespace, workload: p.PodRef.Name}
	if i := strings.LastIndexByte(t.workload, '-'); i > 0 {
		t.workload = t.workload[:i]
	}
	for i := range p.Containers {
		c := &p.Containers[i]
		t.containers = append(t.containers, containerTrace{
			name:  c.Name,
			delay: c.StartTime.Unix() - p.StartTime.Unix(),
		})
	}
	// The order in the answers changes from one to the next.
	slices.SortFunc(t.containers, func(a, b containerTrace) int { return strings.Compare(a.name, b.name) })
	return t
}

// trace is everything gathered, one pod of each workload in turn, so that a
// node with few pods has some of each kind.
func (r *recorder) trace() (*Trace, error) {
	if len(r.asked) < 2 || len(r.pods) == 0 {
		return nil, fmt.Errorf("%d answers with %d pods cannot be replayed", len(r.asked), len(r.pods))
	}
	byWorkload := map[string][]string{}
	for uid, p := range r.pods {
		key := p.namespace + "/" + p.workload
		byWorkload[key] = append(byWorkload[key], uid)
	}
	workloads := make([]string, 0, len(byWorkload))
	for key, uids := range byWorkload {
		workloads = append(workloads, key)
		slices.Sort(uids)
	}
	slices.Sort(workloads)
	t := &Trace{asked: r.asked, node: r.node}
	for round := 0; len(t.pods) < len(r.pods); round++ {
		for _, key := range workloads {
			if uids := byWorkload[key]; round < len(uids) {
				t.pods = append(t.pods, *r.pods[uids[round]])
			}
		}
	}
	return t, nil
}
