package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/apiserver"
	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/ideal"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

const (
	// replicas of a deployment, as many as a large one has.
	replicas = 150
	// neighbours is how many deployments there are in a namespace of several.
	neighbours = 10
	// namespace is Rollcall's own.
	namespace = "rollcall"
	// wholePercent is how much of what there is a list has to have: pods that have
	// just started were not measured yet.
	wholePercent = 99
)

// deployments are those of a fleet: as many have a namespace of their own as share
// one with others.
func deployments(nodes int) []virtual.Deployment {
	n := nodes * pods / replicas
	all := make([]virtual.Deployment, 0, n)
	for i := range n {
		d := virtual.Deployment{Namespace: fmt.Sprintf("alone-%d", i), Name: fmt.Sprintf("dep-%d-%09x", i, (i+1)*48_271_999)}
		if !alone(i, n) {
			d.Namespace = fmt.Sprintf("team-%d", i/neighbours)
		}
		all = append(all, d)
	}
	return all
}

// alone tells whether the i-th of n deployments has a namespace of its own.
func alone(i, n int) bool { return i < n/2 }

// A deployed is a fleet of deployments, and its API server.
type deployed struct {
	agents      *fleet
	api         *child.Process
	kubeconfig  string
	frontProxy  identity.Files // its certificate
	deployments []virtual.Deployment
}

// theDeployed starts them, and ends what other rows were measured with: two fleets
// would share two cores.
func (b *bench) theDeployed(ctx context.Context) (*deployed, error) {
	if b.deployed != nil {
		return b.deployed, nil
	}
	if err := b.end(); err != nil {
		return nil, err
	}
	b.fleet, b.aggregator, b.limit = nil, nil, nil
	d := &deployed{deployments: deployments(b.cfg.Nodes)}
	var err error
	if d.agents, err = b.startFleet(ctx, d.deployments); err != nil {
		return nil, err
	}
	dir := b.path("front-proxy")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ca, err := identitytest.New(dir)
	if err != nil {
		return nil, err
	}
	if d.frontProxy, err = ca.Issue(identity.Peer{Name: apiserver.FrontProxy}, identitytest.URIs()); err != nil {
		return nil, err
	}
	var at apiserver.Result
	d.api, err = b.startJob(ctx, "apiserver", apiserver.Request{
		Files: d.agents.APIServer, FrontProxyCA: ca.CA(),
		Nodes: b.cfg.Nodes, Pods: pods, Resolution: b.cfg.Resolution, Seed: b.cfg.Seed, Deployments: d.deployments, Namespace: namespace,
	}, &at)
	if err != nil {
		return nil, err
	}
	d.kubeconfig = b.path("kubeconfig")
	if err := os.WriteFile(d.kubeconfig, apiserver.Kubeconfig(at.URL, d.agents.APIServer.CA), 0o600); err != nil {
		return nil, err
	}
	b.deployed = d
	return d, nil
}

// asked tells the API server whether to hold lists of pods, and returns what it was
// asked so far.
func (d *deployed) asked(hold bool) (c apiserver.Counts, err error) {
	if err := d.api.Tell(apiserver.Order{HoldPods: hold}); err != nil {
		return c, err
	}
	return c, d.api.Result(&c)
}

// startMetricsAPI starts an aggregator that serves metrics.k8s.io.
func (b *bench) startMetricsAPI(ctx context.Context, d *deployed, join bool) (*aggregator, error) {
	a, err := b.startAggregator(ctx, d.agents, join, "--expected-nodes=kubernetes", "--own-namespace="+namespace,
		"--kubeconfig="+d.kubeconfig, "--resource-metrics", "--resource-listen="+resourceAddress)
	if err == nil {
		b.ends = append(b.ends, a.stop)
	}
	return a, err
}

// A metricsAPI is an aggregator that serves metrics.k8s.io, and the ideal with the
// same objects.
type metricsAPI struct {
	*deployed
	aggregator       *aggregator
	ideal            *child.Process
	client, idealist *resourceClient // of each
	refreshes        []time.Duration // CPU of refreshing the snapshot
	needs            time.Duration   // how long the last batch took, and some more
}

// theMetricsAPI starts the aggregator, and sets the rows of its start on the way.
func (b *bench) theMetricsAPI(ctx context.Context) (*metricsAPI, error) {
	if b.metricsAPI != nil {
		return b.metricsAPI, nil
	}
	d, err := b.theDeployed(ctx)
	if err != nil {
		return nil, err
	}
	b.Progress("an aggregator with metrics.k8s.io starts")
	m := &metricsAPI{deployed: d}
	if m.aggregator, err = b.startMetricsAPI(ctx, d, true); err != nil {
		return nil, err
	}
	if m.client, err = newResourceClient(m.aggregator.resource, d.frontProxy); err != nil {
		return nil, err
	}
	b.ends = append(b.ends, m.client.close)
	if err := m.client.await(ctx, metricsPath); err != nil {
		return nil, fmt.Errorf("metrics.k8s.io is not there: %w", err)
	}
	if len(b.Of("resource-start")) > 0 {
		b.Set("resource-start/discovery", time.Since(m.aggregator.began).Seconds(), "asked every %v until %s is there; agents and pods are not known yet", afterwards, metricsPath)
	}
	listed, err := b.firstLists(ctx, m)
	if err != nil {
		return nil, err
	}
	b.Progress("the ideal starts")
	q := ideal.Request{Files: d.agents.Aggregator, Kubeconfig: d.kubeconfig, Pods: b.path("pods"), Nodes: b.path("nodes")}
	if err := errors.Join(os.WriteFile(q.Pods, listed.pods.body, 0o600), os.WriteFile(q.Nodes, listed.nodes.body, 0o600)); err != nil {
		return nil, err
	}
	var at ideal.Result
	if m.ideal, err = b.startJob(ctx, "ideal", q, &at); err != nil {
		return nil, err
	}
	if m.idealist, err = newResourceClient(at.Addr, d.frontProxy); err != nil {
		return nil, err
	}
	b.ends = append(b.ends, m.idealist.close)
	if err := m.idealist.await(ctx, allPodMetrics); err != nil {
		return nil, fmt.Errorf("the ideal does not answer: %w", err)
	}
	b.metricsAPI = m
	return m, nil
}
