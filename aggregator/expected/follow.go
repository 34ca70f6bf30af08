package expected

import (
	"context"
	"errors"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// pageSize is how many nodes one request lists: 250 with 50 images each are
	// 3.5 MB as they come and 5 MB decoded, of which 1 is held until all have come.
	pageSize = 250
	// listTimeout bounds one such request, in seconds.
	listTimeout = 30
	// watchGrace is how long a watch may last beyond the time that the API server
	// was given. One that does not even answer would be waited for for ever.
	watchGrace = 30 * time.Second
)

// followNodes keeps c.nodes what they are at the API server, until ctx ends.
func (c *Cluster) followNodes(ctx context.Context) {
	list := func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		list, err := c.cfg.Nodes.List(ctx, opts)
		if err != nil {
			return nil, err
		}
		if len(list.Items) == 0 && opts.Continue == "" {
			// Nothing would be missing in any answer. What says so is rather
			// something else than an API server: {} is an empty list, too.
			return nil, errors.New("the list of nodes is empty")
		}
		for i := range list.Items {
			strip(&list.Items[i])
		}
		return list, nil
	}
	c.toNodes.follow(ctx, list, c.cfg.Nodes.Watch, &corev1.Node{}, nodeStore{c})
}

// followAgent keeps c.rule what the agent's DaemonSet says, until ctx ends.
func (c *Cluster) followAgent(ctx context.Context) {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, c.cfg.DaemonSet).String()
	list := func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		opts.FieldSelector = only
		list, err := c.cfg.DaemonSets.List(ctx, opts)
		if err != nil {
			c.unruled()
			return nil, err
		}
		return list, nil
	}
	follow := func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
		opts.FieldSelector = only
		return c.cfg.DaemonSets.Watch(ctx, opts)
	}
	c.toAgent.follow(ctx, list, follow, &appsv1.DaemonSet{}, agentStore{c})
}

// follow has client-go's reflector keep a store up to date, until ctx ends.
func (c *contact) follow(ctx context.Context, list cache.ListWithContextFunc, begin cache.WatchFuncWithContext, of runtime.Object, into cache.ReflectorStore) {
	requests := pagedLists{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			// As it is now: the older state that the reflector would accept comes
			// in one piece, however large.
			opts.ResourceVersion, opts.ResourceVersionMatch = "", ""
			opts.TimeoutSeconds = new(int64(listTimeout))
			got, err := list(ctx, opts)
			if ctx.Err() == nil {
				c.asked(listing, err)
			}
			return got, err
		},
		WatchFuncWithContext: func(parent context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			ctx, cancel := context.WithTimeout(parent, time.Duration(*opts.TimeoutSeconds)*time.Second+watchGrace)
			w, err := begin(ctx, opts)
			if parent.Err() == nil {
				c.asked(watching, err)
			}
			if err != nil {
				cancel()
				return nil, err
			}
			return limitedWatch{w, cancel}, nil
		},
	}}
	r := cache.NewReflectorWithOptions(requests, of, into, cache.ReflectorOptions{Name: c.resource})
	r.WatchListPageSize = pageSize
	r.RunWithContext(ctx)
}

// pagedLists has the reflector list page by page, which all API servers can.
// The other way, a watch that begins with everything, has client-go wait for as
// long as a minute when it should end.
type pagedLists struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is what the reflector looks for.
func (pagedLists) IsWatchListSemanticsUnSupported() bool { return true }

// limitedWatch is a watch whose context ends with it.
type limitedWatch struct {
	watch.Interface
	cancel context.CancelFunc
}

func (w limitedWatch) Stop() {
	w.Interface.Stop()
	w.cancel()
}
