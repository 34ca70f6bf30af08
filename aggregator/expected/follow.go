package expected

import (
	"context"
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
)

// pageSize is how many nodes one request lists: 250 with 50 images each are
// 3.5 MB as they come and 5 MB decoded, of which 1 is held until all have come.
const pageSize = 250

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
	c.toNodes.Follow(ctx, follow.Source{List: list, Watch: c.cfg.Nodes.Watch, Of: &corev1.Node{}, PageSize: pageSize}, nodeStore{c})
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
	begin := func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
		opts.FieldSelector = only
		return c.cfg.DaemonSets.Watch(ctx, opts)
	}
	c.toAgent.Follow(ctx, follow.Source{List: list, Watch: begin, Of: &appsv1.DaemonSet{}, PageSize: pageSize}, agentStore{c})
}
