package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
)

// A book has what metrics.k8s.io has said so far.
type book struct {
	// strict is one in which time goes forward, and what was said of a time does not
	// change, but for pods with several containers: each is measured at its own time,
	// of which the pod's is the earliest. metrics-server is not.
	strict bool

	mu      sync.Mutex
	answers map[who]map[time.Time]answered // by timestamp
	newest  map[who]time.Time
	wrong   []string        // what contradicts what was said before
	ages    []time.Duration // of what was said, each time
}

// answered is what was said.
type answered struct {
	cpu    float64 // in cores
	memory int64
	window time.Duration
	alone  bool // the pod has no other container, so the timestamp is of this one
}

func newBook(strict bool) *book {
	return &book{strict: strict, answers: map[who]map[time.Time]answered{}, newest: map[who]time.Time{}}
}

// ask asks for everything. Of a book, one may ask at a time, for an answer that took
// longer would be taken for one that goes back.
func (b *book) ask(ctx context.Context, client metrics.MetricsV1beta1Interface) error {
	nodes, err := client.NodeMetricses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := client.PodMetricses("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range nodes.Items {
		b.add(who{node: n.Name}, n.Usage, n.Timestamp.Time, n.Window.Duration, true)
	}
	for _, p := range pods.Items {
		for _, c := range p.Containers {
			b.add(who{"", p.Namespace, p.Name, c.Name}, c.Usage, p.Timestamp.Time, p.Window.Duration, len(p.Containers) == 1)
		}
	}
	return nil
}

func (b *book) add(w who, usage corev1.ResourceList, at time.Time, window time.Duration, alone bool) {
	a := answered{usage.Cpu().AsApproximateFloat64(), usage.Memory().Value(), window, alone}
	if b.answers[w] == nil {
		b.answers[w] = map[time.Time]answered{}
	}
	if before, known := b.answers[w][at]; known && before != a && alone && b.strict {
		b.wrong = append(b.wrong, fmt.Sprintf("%v at %v was %+v and is %+v", w, at, before, a))
	}
	if at.Before(b.newest[w]) && b.strict {
		b.wrong = append(b.wrong, fmt.Sprintf("%v was of %v and is of %v", w, b.newest[w], at))
	}
	b.answers[w][at], b.newest[w] = a, at
	b.ages = append(b.ages, time.Since(at))
}
