package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/dashboard"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/aggregator/follow"
	"github.com/rollcall-metrics/rollcall/aggregator/follow/followtest"
	"github.com/rollcall-metrics/rollcall/aggregator/pods"
	"github.com/rollcall-metrics/rollcall/aggregator/resource"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// An aggregator is one run of an aggregator: a real one, but for gossip and for what
// k8s.io/apiserver does.
type aggregator struct {
	*link
	fleet   *fleet
	api     *followtest.Server
	storage map[string]rest.Storage
	board   *dashboard.Handler
	close   func()
}

func newAggregator(f *fleet, api *followtest.Server) *aggregator {
	a := &aggregator{link: f.network.link(), fleet: f, api: api}
	a.start()
	f.t.Cleanup(func() { a.close() })
	return a
}

// restart ends the aggregator and begins another one, which knows nothing.
func (a *aggregator) restart() {
	a.close()
	a.start()
	synctest.Wait()
}

func (a *aggregator) start() {
	f, reg := a.fleet, prometheus.NewRegistry()
	client := agents.New(agents.Config{Dial: a.dial}, agents.RosterFunc(a.lookup), f.identity(identity.Aggregator, "aggregator"), silent, reg)
	questions := fanout.New(fanout.Config{}, client, reg)
	newest := snapshot.New(resolution, client, questions, &f.expected, reg)
	api, err := typedcore.NewForConfig(a.api.Config())
	if err != nil {
		f.t.Fatal(err)
	}
	running := pods.New(pods.Config{Pods: api.Pods("")}, follow.NewMetrics(reg), silent, reg)
	a.storage = resource.Storage(&resource.Fleet{Snapshot: newest, Nodes: &f.expected, Pods: running, Joined: func() error { return nil }}, reg)
	a.board = dashboard.New(dashboard.Config{Resolution: resolution}, newest, questions, client, reg)
	ctx, stop := context.WithCancel(f.t.Context())
	var following sync.WaitGroup
	following.Go(func() { running.Run(ctx) })
	a.close = func() {
		stop()
		following.Wait()
		a.board.Close()
		newest.Close()
		questions.Close()
		client.Close()
	}
}

// show is what the aggregator says of a pod "namespace/name" or of a node, by Get and
// by List: its usage, or why there is none.
func (a *aggregator) show(name string) string {
	a.fleet.t.Helper()
	namespace, pod, isPod := strings.Cut(name, "/")
	kind, id := "nodes", name
	if isPod {
		kind, id = "pods", pod
	}
	ctx := request.WithNamespace(a.fleet.t.Context(), namespace)
	if !isPod {
		ctx = request.WithNamespace(ctx, "")
	}
	got, err := a.storage[kind].(rest.Getter).Get(ctx, id, &metav1.GetOptions{})
	var one string
	switch m := got.(type) {
	case *metrics.PodMetrics:
		one = a.fleet.pod(m)
	case *metrics.NodeMetrics:
		one = a.fleet.metrics(m.Usage) + a.fleet.when(m.Timestamp, m.Window)
	default:
		one = why(err, name)
	}
	listed := a.list(kind, namespace, &internalversion.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", id)})
	if want := []string{name + ": " + one}; err == nil && !slices.Equal(listed, want) || err != nil && len(listed) > 0 {
		a.fleet.t.Errorf("got %s, listed %q", one, listed)
	}
	return one
}

// why is the reason of a 404.
func why(err error, name string) string {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Code != 404 {
		return fmt.Sprintf("error: %v", err)
	}
	_, says, ok := strings.Cut(status.Error(), fmt.Sprintf("%q not found: ", name))
	if !ok {
		return "404 without a reason: " + status.Error()
	}
	return "none: " + says
}

// list is a list as "name: usage" each.
func (a *aggregator) list(kind, namespace string, options *internalversion.ListOptions) []string {
	a.fleet.t.Helper()
	all, _ := a.page(kind, namespace, options)
	return all
}

// page is a list, and the token for the next one.
func (a *aggregator) page(kind, namespace string, options *internalversion.ListOptions) (all []string, token string) {
	a.fleet.t.Helper()
	if kind == "nodes" {
		namespace = ""
	}
	list, err := a.storage[kind].(rest.Lister).List(request.WithNamespace(a.fleet.t.Context(), namespace), options)
	switch l := list.(type) {
	case *metrics.PodMetricsList:
		token = l.Continue
		for i := range l.Items {
			m := &l.Items[i]
			all = append(all, m.Namespace+"/"+m.Name+": "+a.fleet.pod(m))
		}
	case *metrics.NodeMetricsList:
		token = l.Continue
		for i := range l.Items {
			m := &l.Items[i]
			all = append(all, m.Name+": "+a.fleet.metrics(m.Usage)+a.fleet.when(m.Timestamp, m.Window))
		}
	default:
		a.fleet.t.Errorf("list of %s: %v", kind, err)
	}
	return all, token
}

// pod is usage as "container cpu memory, … @timestamp window", the timestamp in
// seconds since the fleet began.
func (f *fleet) pod(m *metrics.PodMetrics) string {
	all := make([]string, len(m.Containers))
	for i, c := range m.Containers {
		all[i] = c.Name + " " + f.metrics(c.Usage)
	}
	return strings.Join(all, ", ") + f.when(m.Timestamp, m.Window)
}

func (f *fleet) metrics(l core.ResourceList) string {
	s := fmt.Sprint(l.Cpu(), " ", l.Memory())
	if swap, ok := l[resource.Swap]; ok {
		s += fmt.Sprint(" swap ", swap.String())
	}
	return s
}

func (f *fleet) when(at metav1.Time, window metav1.Duration) string {
	return fmt.Sprintf(" @%d %v", at.Unix()-f.epoch, window.Duration)
}
