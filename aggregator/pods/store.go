package pods

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
)

// Pods are the API server's pods, of all namespaces; those of client-go's typed
// client are.
type Pods interface {
	List(ctx context.Context, opts metav1.ListOptions) (*corev1.PodList, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// A Config is what a [Store] keeps.
type Config struct {
	// Pods is who is asked. It must not have a timeout of its own, which would end
	// watches.
	Pods Pods
	// Namespaces are the only ones whose pods are kept; empty is all.
	Namespaces []string
}

// A Store keeps the running pods of the cluster. It is safe for concurrent use:
// nobody who reads it waits for a change, or holds one up.
//
// The API server may be away. Until it has listed all pods there are none; from then
// on what it said last stays.
type Store struct {
	cfg      Config
	log      *slog.Logger
	contact  *follow.Contact
	interner *interner

	now atomic.Pointer[index] // nil: not listed yet; replaced by one goroutine at a time
}

// New makes a Store, which is empty until Run. Its own metrics are registered with
// reg, once per registry; those of asking are shared.
func New(cfg Config, asking *follow.Metrics, log *slog.Logger, reg prometheus.Registerer) *Store {
	s := &Store{cfg: cfg, log: log, interner: newInterner()}
	s.contact = follow.New("pods", s.meanwhile, log, asking)
	s.register(reg)
	return s
}

// Synced is nil from when on the API server has listed all pods, whatever comes of it
// later; before, it is why it has not: an error for people, which says what failed
// and since when, and what to do about it.
func (s *Store) Synced() error {
	if s.now.Load() != nil {
		return nil
	}
	if _, failed := s.contact.State(); failed != nil {
		return fmt.Errorf("the API server cannot be asked for pods since %s (%s: %w).%s", failed.Since.UTC().Format(time.RFC3339),
			failed.Verb, failed.Err, failed.Hint("pods, with a ClusterRole"))
	}
	return errors.New("the API server has not listed the pods yet")
}

// Get is the running pod of that name, if there is one.
func (s *Store) Get(namespace, name string) (*Pod, bool) {
	p := s.index().get(namespace, name)
	return p, p != nil
}

// All are the running pods of a namespace, or of all if it is empty, by namespace and
// name: as they all were at the time of the call.
func (s *Store) All(namespace string) iter.Seq[*Pod] { return s.index().all(namespace) }

func (s *Store) index() *index {
	if x := s.now.Load(); x != nil {
		return x
	}
	return &index{}
}

// meanwhile says what holds while the API server does not answer.
func (s *Store) meanwhile() string {
	if s.now.Load() == nil {
		return "no pods are known"
	}
	return "pods are those that it named last"
}

// wants tells whether a pod is to be kept. The API server has left out, for a watch,
// too, those that do not run.
func (s *Store) wants(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodRunning &&
		(len(s.cfg.Namespaces) == 0 || slices.Contains(s.cfg.Namespaces, p.Namespace))
}

// keep is what is kept of a pod: the same as before, if nothing of it has changed.
func (s *Store) keep(p *corev1.Pod) *Pod {
	name := p.Name + uidOf(p) // one string for both: 16 bytes less
	kept := Pod{
		Namespace: s.interner.string(p.Namespace),
		Name:      name[:len(p.Name)], UID: name[len(p.Name):],
		Node:   s.interner.string(p.Spec.NodeName),
		Labels: s.interner.labels(p.Labels),

		Containers: s.interner.string(runningIn(p)),
	}
	if known, ok := s.Get(p.Namespace, p.Name); ok && *known == kept {
		return known
	}
	return &kept
}
