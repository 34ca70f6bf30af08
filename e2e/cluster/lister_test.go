package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
)

const (
	// listEvery is how often a lister lists.
	listEvery = 100 * time.Millisecond
	// listTimeout is of one list: far more than a controller would wait.
	listTimeout = 10 * time.Second
)

// A lister lists a namespace's pods through the API server, steadily, and counts what
// fails.
type lister struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu     sync.Mutex
	asked  int
	failed []string
	empty  int            // lists without a pod, which an autoscaler takes for a failure
	kinds  map[string]int // of failures, by what the error says
	took   []time.Duration
}

// list lists until the lister is ended.
func (u *usage) list() *lister {
	client := u.asker(u.c.REST)
	ctx, stop := context.WithCancel(u.Context())
	l := &lister{stop: stop, kinds: map[string]int{}}
	l.done.Go(func() {
		t := time.NewTicker(listEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				// One that takes long does not keep others from being asked.
				l.done.Go(func() { l.once(ctx, client) })
			}
		}
	})
	u.Cleanup(l.end)
	return l
}

func (l *lister) end() {
	l.stop()
	l.done.Wait()
}

func (l *lister) once(ctx context.Context, client metrics.MetricsV1beta1Interface) {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	pods, err := client.PodMetricses(usageNamespace).List(limited, metav1.ListOptions{})
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	l.took = append(l.took, time.Since(began))
	if err != nil {
		l.kinds[detail(err)]++
		l.failed = append(l.failed, fmt.Sprintf("%s after %v: %v", began.Format("15:04:05.000"), time.Since(began).Round(time.Millisecond), detail(err)))
	} else if len(pods.Items) == 0 {
		l.empty++
	}
}

// report ends it and tells of it. At most so many lists may have failed or been
// empty.
func (l *lister) report(u *usage, what string, most int) {
	u.Helper()
	l.end()
	slices.Sort(l.took)
	at := func(share float64) time.Duration {
		if len(l.took) == 0 {
			return 0
		}
		return l.took[int(share*float64(len(l.took)-1))].Round(time.Millisecond)
	}
	u.Logf("%s: %d lists, %d failed, %d empty; p50 %v p99 %v most %v; %v", what, l.asked, len(l.failed), l.empty, at(0.5), at(0.99), at(1), l.kinds)
	if len(l.failed)+l.empty > most {
		u.Errorf("%s: %d lists failed and %d were empty, at most %d may: %v", what, len(l.failed), l.empty, most, l.failed[:min(len(l.failed), 10)])
	}
	if l.asked == 0 {
		u.Errorf("%s: nothing was listed", what)
	}
}

// detail is an error with what the API server said of it besides, if it had nothing
// to pass on.
func detail(err error) string {
	var status interface{ Status() metav1.Status }
	if errors.As(err, &status) && status.Status().Details != nil {
		for _, c := range status.Status().Details.Causes {
			return fmt.Sprintf("%v: %s", err, strings.TrimSpace(c.Message))
		}
	}
	return err.Error()
}
