package resource

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/aggregator/pods"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

const resolution = 15 * time.Second

// A fleet stands in for agents, the fan-out and the API server; its values do not
// change. CPU is measured at the beginning of a slot, over 15 s.
type fleet struct {
	nodes       []string
	labels      map[string]nodeLabels
	unsupported map[string]string
	pods        []*pods.Pod               // by namespace and name
	said        map[string][]*model.Group // by node
	fault       map[string]error
	joined      error
	synced      error
}

type nodeLabels map[string]string

func (l nodeLabels) Has(label string) bool              { _, ok := l[label]; return ok }
func (l nodeLabels) Get(label string) string            { return l[label] }
func (l nodeLabels) Lookup(label string) (string, bool) { v, ok := l[label]; return v, ok }
func (l nodeLabels) Map() map[string]string             { return l }

// Nodes implements [Nodes] and [snapshot.Expected].
func (f *fleet) Nodes() []string { return f.nodes }

// Reason implements [Nodes], as Labels does.
func (f *fleet) Reason(node string) string { return f.unsupported[node] }

func (f *fleet) Labels(node string) (NodeLabels, bool) {
	l, ok := f.labels[node]
	return l, ok
}

// apiPods implements [Pods].
type apiPods struct{ *fleet }

func (f apiPods) Synced() error { return f.synced }

func (f apiPods) Get(namespace, name string) (*pods.Pod, bool) {
	for p := range f.All(namespace) {
		if p.Name == name {
			return p, true
		}
	}
	return nil, false
}

func (f apiPods) All(namespace string) iter.Seq[*pods.Pod] {
	return func(yield func(*pods.Pod) bool) {
		from, _ := slices.BinarySearchFunc(f.pods, namespace, func(p *pods.Pod, ns string) int { return strings.Compare(p.Namespace, ns) })
		for _, p := range f.pods[from:] {
			if namespace != "" && namespace != p.Namespace || !yield(p) {
				return
			}
		}
	}
}

// Do implements [snapshot.Fanout].
func (f *fleet) Do(ctx context.Context, nodes []string, _ time.Duration, ask fanout.Ask) []fanout.Result {
	results := make([]fanout.Result, len(nodes))
	for i := range nodes {
		err := ask(ctx, i, func(int) bool { return true })
		results[i] = fanout.Result{Outcome: agents.Outcome(err), Err: err, Asked: true}
	}
	return results
}

// Latest implements [snapshot.Asker].
func (f *fleet) Latest(_ context.Context, node string, q wire.Latest, _ func(int) bool) (agents.Latest, error) {
	if err := f.fault[node]; err != nil {
		return agents.Latest{}, &agents.Error{Node: node, Outcome: coverage.Timeout, Err: err}
	}
	latest := agents.Latest{Resolution: resolution, Retention: time.Hour}
	for _, g := range f.said[node] {
		b := chunk.NewBuilder(chunk.Header{Pod: g.Pod, Block: model.BlockOf(q.To), Resolution: resolution})
		samples := slices.Clone(g.Samples)
		for i := range samples {
			if !samples[i].Has(model.Measured) {
				samples[i].Set(model.Measured, uint64(q.To))
			}
		}
		if err := b.Append(q.To, samples); err != nil {
			return latest, err
		}
		latest.Chunks = append(latest.Chunks, b.AppendChunk(nil))
	}
	return latest, nil
}

// sample is a measured sample of a container, or of the node if name is empty.
func sample(name string, cpu, memory uint64) model.Sample {
	s := model.Sample{Name: name, Start: 1000}
	s.Set(model.CPU, cpu)
	s.Set(model.CPUWindow, 15000)
	s.Set(model.WorkingSet, memory)
	return s
}

// spread moves the pods to other nodes, so many.
func (f *fleet) spread(nodes int) {
	own, pods := f.said["node-1"][0], map[string]*model.Group{}
	for _, groups := range f.said {
		for _, g := range groups[1:] {
			pods[g.Pod.Namespace+"/"+g.Pod.Name] = g
		}
	}
	f.nodes, f.said = nil, map[string][]*model.Group{}
	for i := range nodes {
		name := fmt.Sprintf("node-%05d", i)
		f.nodes, f.said[name] = append(f.nodes, name), []*model.Group{own}
	}
	for i, p := range f.pods {
		p.Node = f.nodes[i%nodes]
		f.said[p.Node] = append(f.said[p.Node], pods[p.Namespace+"/"+p.Name])
	}
}

// newFleet has two nodes, and on them in turn the pods of a list of
// "namespace/name", each with the containers app and log.
func newFleet(names ...string) *fleet {
	f := &fleet{
		nodes: []string{"node-1", "node-2"}, said: map[string][]*model.Group{}, fault: map[string]error{},
		labels: map[string]nodeLabels{"node-1": {"zone": "a"}, "node-2": {"zone": "b"}},
	}
	for _, node := range f.nodes {
		own := sample("", 1_500_000_000, 4<<30)
		own.Set(model.Swap, 1<<20)
		f.said[node] = append(f.said[node], &model.Group{Samples: []model.Sample{own}})
	}
	for i, full := range names {
		namespace, name, _ := strings.Cut(full, "/")
		p := &pods.Pod{Namespace: namespace, Name: name, UID: "uid-" + name, Node: f.nodes[i%2], Containers: "app,log"}
		f.pods = append(f.pods, p)
		f.said[p.Node] = append(f.said[p.Node], &model.Group{
			Pod:     model.PodRef{Namespace: namespace, Name: name, UID: p.UID},
			Samples: []model.Sample{sample("app", 100_000_000, 64<<20), sample("log", 1_500_000, 8<<20)},
		})
	}
	return f
}

// A client asks an API server for what the fleet says, as somebody who may.
type client struct {
	t       testing.TB
	handler http.Handler
	storage map[string]rest.Storage
}

func serve(t testing.TB, f *fleet) client {
	t.Helper()
	newest := snapshot.New(resolution, f, f, f, prometheus.NewRegistry())
	t.Cleanup(newest.Close)
	return serveStorage(t, Storage(&Fleet{
		Snapshot: newest, Nodes: f, Pods: apiPods{f}, Joined: func() error { return f.joined },
	}, prometheus.NewRegistry()))
}

func serveStorage(t testing.TB, storage map[string]rest.Storage) client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := New(Config{Listener: listener, Version: "v1.2.3"}, storage, nil)
	cfg, group := s.configure()
	cfg.Authentication.Authenticator = authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
		return &authenticator.Response{User: &user.DefaultInfo{Name: "somebody"}}, true, nil
	})
	cfg.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
	api, err := build(cfg, group)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Destroy)
	return client{t, api.PrepareRun().Handler, storage}
}

// get asks for a path below the API's, or an absolute one.
func (c client) get(path, accept string) *httptest.ResponseRecorder {
	if !strings.HasPrefix(path, "/") {
		path = "/apis/metrics.k8s.io/v1beta1/" + path
	}
	req := httptest.NewRequestWithContext(c.t.Context(), http.MethodGet, path, nil)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	rec := httptest.NewRecorder()
	c.handler.ServeHTTP(rec, req)
	return rec
}

var errSilent = errors.New("no answer within 1.5s")
