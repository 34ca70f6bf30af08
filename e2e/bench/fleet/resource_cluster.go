package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/apiserver"
	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/ideal"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
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
	*fleet
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
	if d.fleet, err = b.startFleet(ctx, d.deployments); err != nil {
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
		Files: d.APIServer, FrontProxyCA: ca.CA(),
		Nodes: b.cfg.Nodes, Pods: pods, Resolution: b.cfg.Resolution, Seed: b.cfg.Seed, Deployments: d.deployments, Namespace: namespace,
	}, &at)
	if err != nil {
		return nil, err
	}
	d.kubeconfig = b.path("kubeconfig")
	if err := os.WriteFile(d.kubeconfig, apiserver.Kubeconfig(at.URL, d.APIServer.CA), 0o600); err != nil {
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
	a, err := b.startAggregator(ctx, d.fleet, join, "--expected-nodes=kubernetes", "--namespace="+namespace,
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
	listed, err := b.firstLists(ctx, m)
	if err != nil {
		return nil, err
	}
	b.Progress("the ideal starts")
	q := ideal.Request{Files: d.Aggregator, Kubeconfig: d.kubeconfig, Pods: b.path("pods"), Nodes: b.path("nodes")}
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

// lists are those of all pods and nodes.
type lists struct{ pods, nodes answered }

// firstLists asks a new aggregator for everything, as soon as it is ready, until it
// has everything.
func (b *bench) firstLists(ctx context.Context, m *metricsAPI) (l lists, err error) {
	a := m.aggregator
	if err := b.awaitPage(ctx, a, "/readyz"); err != nil {
		return l, err
	}
	ready := time.Since(a.began)
	of := m.deployments[0]
	if l.pods, err = b.whole(ctx, m, listOf(of), replicas); err != nil {
		return l, err
	}
	wall := time.Since(a.began)
	cpu, err := meter.CPUOf(a.PID())
	if err != nil {
		return l, err
	}
	counts, err := m.asked(false)
	if err != nil {
		return l, err
	}
	if len(counts.Unknown) > 0 {
		b.Notes = append(b.Notes, fmt.Sprintf("The stand-in API server was asked for what it does not have: %v.", counts.Unknown))
	}
	if len(b.Of("resource-start")) > 0 {
		if err := child.Wait(ctx, b.cfg.Settle); err != nil {
			return l, err
		}
		r, err := meter.ResidentOf(a.PID())
		if err != nil {
			return l, err
		}
		b.Set("resource-start/wall", wall.Seconds(), "of %d pods; asked for when /readyz says ready, %.1f s after the start; the API server listed %d pods meanwhile", l.pods.items, ready.Seconds(), counts.Pods)
		b.Set("resource-start/cpu", cpu.Seconds(), "of the process until then")
		b.Set("resource-start/memory", r.All, "%v after it; %v", b.cfg.Settle, r)
		if err := b.profile(ctx, a, "heap", "resource.heap"); err != nil {
			return l, err
		}
	}
	if l.pods, err = b.whole(ctx, m, allPodMetrics, b.cfg.Nodes*pods); err != nil {
		return l, err
	}
	l.nodes, err = m.client.get(ctx, allNodeMetrics, protobuf)
	return l, err
}

// whole asks for pods until there are so many, but for a few.
func (b *bench) whole(ctx context.Context, m *metricsAPI, path string, pods int) (r answered, err error) {
	for began := time.Now(); ; {
		if r, err = m.client.get(ctx, path, protobuf); err == nil && r.items*100 >= pods*wholePercent {
			return r, nil
		}
		if ctx.Err() != nil || time.Since(began) > startWithin {
			return r, errors.Join(fmt.Errorf("%s has %d pods of %d", path, r.items, pods), err, ctx.Err())
		}
		b.Progress("%s has %d pods of %d, %v", path, r.items, pods, err)
		if err := child.Wait(ctx, afterwards); err != nil {
			return r, err
		}
	}
}

// awaitPage waits until an aggregator says on a page of its probes that it is well.
func (b *bench) awaitPage(ctx context.Context, a *aggregator, page string) error {
	for {
		if err := child.Wait(ctx, afterwards); err != nil {
			return err
		}
		resp, err := a.get(ctx, a.api+page)
		if err == nil {
			var why []byte
			why, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s: %.300s", resp.Status, why)
		}
		if time.Since(a.began) > startWithin {
			return fmt.Errorf("%s after %v: %w", page, startWithin, err)
		}
	}
}

// resourceStart measures the start.
func (b *bench) resourceStart(ctx context.Context) error {
	_, err := b.theMetricsAPI(ctx)
	return err
}

// resourceMemory measures what knowing all pods takes: of an aggregator that knows
// nobody in the fleet, and has no connections, before it is told the pods and after.
func (b *bench) resourceMemory(ctx context.Context) (err error) {
	d, err := b.theDeployed(ctx)
	if err != nil {
		return err
	}
	if m := b.metricsAPI; m != nil { // or it would take some of the cores
		if err := errors.Join(m.aggregator.stop(), m.ideal.Stop()); err != nil {
			return err
		}
		b.metricsAPI = nil
	}
	if _, err := d.asked(true); err != nil {
		return err
	}
	a, err := b.startMetricsAPI(ctx, d, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	if err := b.awaitPage(ctx, a, "/healthz"); err != nil {
		return err
	}
	if err := child.Wait(ctx, b.cfg.Settle/2); err != nil {
		return err
	}
	before, err := meter.ResidentOf(a.PID())
	if err != nil {
		return err
	}
	cpu, err := meter.CPUOf(a.PID())
	if err != nil {
		return err
	}
	if _, err := d.asked(false); err != nil {
		return err
	}
	began := time.Now()
	stop := b.profileDuring(ctx, a, "resource memory")
	for known := 0.; int(known)*100 < b.cfg.Nodes*pods*wholePercent; {
		if err := child.Wait(ctx, afterwards); err != nil {
			return err
		}
		if known, err = a.metric(ctx, "rollcall_pods_running"); err != nil {
			return err
		}
		if time.Since(began) > startWithin {
			return fmt.Errorf("%.0f pods are known after %v", known, startWithin)
		}
	}
	wall := time.Since(began)
	spent, err := meter.CPUOf(a.PID())
	if err != nil {
		return err
	}
	if err := errors.Join(child.Wait(ctx, b.cfg.Settle/2), stop()); err != nil {
		return err
	}
	after, err := meter.ResidentOf(a.PID())
	if err != nil {
		return err
	}
	peak, err := meter.PeakOf(a.PID())
	if err != nil {
		return err
	}
	b.Set("resource-memory/pods", after.All-before.All, "resident %.1f MiB before (%v) and %.1f after (%v), %v after it knew them, at most %.1f MiB meanwhile",
		before.All, before, after.All, after, b.cfg.Settle/2, peak)
	b.Set("resource-memory/cpu", (spent - cpu).Seconds(), "in %.1f s, over TLS from the stand-in, on the same cores", wall.Seconds())
	return nil
}
