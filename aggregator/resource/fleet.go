package resource

import (
	"context"
	"fmt"
	"iter"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/rollcall-metrics/rollcall/aggregator/pods"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
)

const (
	// readyWithin is how long a question waits for an aggregator that has just
	// started to join the others, which takes a second or two.
	readyWithin = 5 * time.Second
	// answerWithin is how long a question waits for nodes: longer than the
	// timeout of one, 1.5 s.
	answerWithin = 4 * time.Second
	// readyEvery is how often it looks.
	readyEvery = 50 * time.Millisecond
)

// A Snapshot has the newest values of all nodes; *snapshot.Snapshot is one.
type Snapshot interface {
	Current(ctx context.Context) *snapshot.View
}

// Nodes are those that should answer; *expected.Cluster is such.
type Nodes interface {
	// Nodes are by name.
	Nodes() []string
	// Reason is why a node cannot run the agent; empty if it can.
	Reason(node string) string
	// Labels are a node's; ok is false if the API server has not listed it.
	Labels(node string) (l NodeLabels, ok bool)
}

// NodeLabels are the labels of a node.
type NodeLabels interface {
	labels.Labels
	// Map may be shared, and is not to be changed.
	Map() map[string]string
}

// Pods are the running pods, by the API server; *pods.Store is such.
type Pods interface {
	// Synced is nil once they were listed, and otherwise says why not.
	Synced() error
	Get(namespace, name string) (*pods.Pod, bool)
	// All are the pods of a namespace, or of all of them if it is empty, by
	// namespace and name.
	All(namespace string) iter.Seq[*pods.Pod]
}

// A Fleet is what the API serves from.
type Fleet struct {
	Snapshot Snapshot
	Nodes    Nodes
	Pods     Pods
	// Joined is nil once this aggregator knows a fleet, and otherwise says why it
	// does not.
	Joined func() error
}

// view is the snapshot of the last slot. It waits for what is still to come, for
// some seconds; then the error, of which the API server makes a 503, says what is
// missing.
func (f *Fleet) view(ctx context.Context, needs ...func() error) (*snapshot.View, error) {
	if err := f.await(ctx, append(needs, f.Joined)); err != nil {
		return nil, apierrors.NewServiceUnavailable(err.Error())
	}
	limited, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return f.Snapshot.Current(limited), nil
}

// await waits until none of the needs says that something is missing.
func (f *Fleet) await(ctx context.Context, needs []func() error) error {
	missing := func() error {
		for _, need := range needs {
			if err := need(); err != nil {
				return err
			}
		}
		return nil
	}
	err := missing()
	if err == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		select {
		case <-limited.Done():
			return fmt.Errorf("this aggregator cannot answer yet: %w", err)
		case <-tick.C:
			if err = missing(); err == nil {
				return nil
			}
		}
	}
}
