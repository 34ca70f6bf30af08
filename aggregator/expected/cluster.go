package expected

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// DefaultDaemonSet is the name of the agent's DaemonSet in our manifests.
const DefaultDaemonSet = "rollcall-agent"

// Nodes is the API server's nodes; those of client-go's typed client are.
type Nodes interface {
	List(ctx context.Context, opts metav1.ListOptions) (*corev1.NodeList, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// DaemonSets are the API server's DaemonSets of one namespace; those of
// client-go's typed client are.
type DaemonSets interface {
	List(ctx context.Context, opts metav1.ListOptions) (*appsv1.DaemonSetList, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// A ClusterConfig is what a [Cluster] asks. The clients must not have a timeout
// of their own, which would end watches.
type ClusterConfig struct {
	Nodes Nodes
	// DaemonSets are those of Namespace, of which only DaemonSet, the agent's, is
	// asked for; its name is DefaultDaemonSet if empty. Namespace is only told.
	DaemonSets           DaemonSets
	Namespace, DaemonSet string
}

// A Fallback says who is expected as long as the API server has not; [Roster] is
// one.
type Fallback interface {
	Nodes() []string
}

// A Cluster expects the API server's nodes, but for those on which the agent's
// DaemonSet could not run a pod: they are unsupported.
//
// The API server may be away. Until it has said which nodes there are, the
// fallback is asked; from then on what it said last stays. As long as it does
// not say what the DaemonSet wants, all nodes count as supported. A Cluster is
// safe for concurrent use.
type Cluster struct {
	cfg      ClusterConfig
	fallback Fallback
	log      *slog.Logger

	toNodes, toAgent *follow.Contact

	now atomic.Pointer[verdict] // nil: to be made from what follows

	mu    sync.Mutex
	nodes map[string]node // nil: not listed yet
	rule  *rule           // nil: none is known
	// ruled tells that the API server has been asked for the rule, whatever came
	// of it: nodes are not judged before.
	ruled  bool
	absent bool // the API server has said that there is no such DaemonSet
	told   bool // the log has been told of the first list
}

// verdict is who is expected and who is not. It never changes.
type verdict struct {
	listed      bool // otherwise nothing is known
	nodes       []string
	unsupported []coverage.Unsupported
}

// NewCluster makes a Cluster, which knows nothing until Run. Its own metrics are
// registered with reg, once per registry; those of asking are shared.
func NewCluster(cfg ClusterConfig, fallback Fallback, asking *follow.Metrics, log *slog.Logger, reg prometheus.Registerer) *Cluster {
	cfg.DaemonSet = cmp.Or(cfg.DaemonSet, DefaultDaemonSet)
	c := &Cluster{cfg: cfg, fallback: fallback, log: log}
	c.toNodes = follow.New("nodes", c.withoutNodes, log, asking)
	c.toAgent = follow.New("daemonsets", c.withoutAgent, log, asking)
	c.register(reg)
	return c
}

// Run follows the API server until ctx ends.
func (c *Cluster) Run(ctx context.Context) {
	var following sync.WaitGroup
	following.Go(func() { c.followNodes(ctx) })
	following.Go(func() { c.followAgent(ctx) })
	following.Wait()
}

// Nodes are the expected nodes, by name. The slice is shared and must not be
// changed: questions ask for it, and 5000 names are 80 KB.
func (c *Cluster) Nodes() []string {
	if v := c.latest(); v.listed {
		return v.nodes
	}
	return c.fallback.Nodes()
}

// Unsupported are the nodes that cannot run the agent, by name, and why. The
// slice is shared and must not be changed.
func (c *Cluster) Unsupported() []coverage.Unsupported { return c.latest().unsupported }

// Reason is why a node cannot run the agent; empty if it can, or if the API server
// has not listed it.
func (c *Cluster) Reason(node string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[node].reason
}

// Labels are a node's labels, whether it is expected or unsupported; ok is false if
// the API server has not listed it.
func (c *Cluster) Labels(node string) (l Labels, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.nodes[node]
	return Labels{n.labels}, ok
}

// latest makes the verdict if something has changed: once for as many changes
// as come between two questions.
func (c *Cluster) latest() *verdict {
	if v := c.now.Load(); v != nil {
		return v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := &verdict{listed: c.nodes != nil && c.ruled}
	if v.listed {
		v.nodes = make([]string, 0, len(c.nodes))
		for name, n := range c.nodes {
			if n.reason == "" {
				v.nodes = append(v.nodes, name)
			} else {
				v.unsupported = append(v.unsupported, coverage.Unsupported{Node: name, Reason: n.reason})
			}
		}
		slices.Sort(v.nodes)
		slices.SortFunc(v.unsupported, func(a, b coverage.Unsupported) int { return strings.Compare(a.Node, b.Node) })
	}
	c.now.Store(v)
	return v
}

// change changes what the verdict is made of.
func (c *Cluster) change(do func()) {
	c.mu.Lock()
	do()
	c.now.Store(nil)
	first := !c.told && c.nodes != nil && c.ruled
	c.told = c.told || first
	c.mu.Unlock()
	if first {
		v := c.latest()
		c.log.Info("expected nodes listed by the API server", "nodes", len(v.nodes), "unsupported", len(v.unsupported))
	}
}
