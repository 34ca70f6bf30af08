package app

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/authority"
	"github.com/rollcall-metrics/rollcall/aggregator/expected"
	"github.com/rollcall-metrics/rollcall/aggregator/follow"
	"github.com/rollcall-metrics/rollcall/aggregator/pods"
	"github.com/rollcall-metrics/rollcall/aggregator/resource"
)

// metricsAPI is metrics.k8s.io, and what it needs.
type metricsAPI struct {
	pods         *pods.Store
	server       *resource.Server
	registration *authority.Registration // nil: somebody else keeps the APIService
}

// newMetricsAPI makes the parts, which do nothing before run.
func (a *Aggregator) newMetricsAPI(l net.Listener, audit *resource.Audit, metrics *follow.Metrics, version string) *metricsAPI {
	m := &metricsAPI{pods: pods.New(pods.Config{Pods: a.kube.CoreV1().Pods(""), Namespaces: a.cfg.Namespaces}, metrics, a.log, a.reg)}
	fleet := &resource.Fleet{Snapshot: a.newest, Nodes: clusterNodes{a.nodes}, Pods: m.pods, Joined: a.inFleet}
	m.server = resource.New(resource.Config{
		Listener: l, Identity: a.id, Client: a.kube, Version: version, Audit: audit,
	}, resource.Storage(fleet, a.reg), a.log)
	if a.keeper != nil {
		m.registration = authority.NewRegistration(authority.RegistrationConfig{
			APIServices: a.kube.services.APIServices(), Namespace: a.cfg.Namespace, Service: a.cfg.ResourceService,
		}, a.keeper, metrics, a.log)
	}
	return m
}

// run serves until ctx ends. The rest goes on if it fails.
func (m *metricsAPI) run(ctx context.Context, a *Aggregator) {
	var work sync.WaitGroup
	work.Go(func() { m.pods.Run(ctx) })
	if m.registration != nil {
		work.Go(func() { m.registration.Run(ctx) })
	}
	work.Go(func() {
		if err := m.server.Run(ctx); err != nil {
			a.log.Error("metrics.k8s.io is not served any more", "err", err)
		}
	})
	work.Wait()
}

// inFleet is nil once this aggregator knows the fleet, or has found out that there
// is none.
func (a *Aggregator) inFleet() error {
	if a.roster.Load() == nil {
		return a.waiting()
	}
	return errors.Join(a.lonely(), a.agents.Connected())
}

// clusterNodes are the cluster's nodes, as [resource.Nodes].
type clusterNodes struct{ *expected.Cluster }

// Labels implements [resource.Nodes].
func (n clusterNodes) Labels(node string) (resource.NodeLabels, bool) {
	return n.Cluster.Labels(node)
}

// A metricsAPIStatus says how it is with metrics.k8s.io, as JSON.
type metricsAPIStatus struct {
	Says     string   `json:"says"`
	Problems []string `json:"problems,omitempty"`
	// Registration is how the API server asks for it; absent if that is not looked
	// after by this aggregator.
	Registration *authority.RegistrationStatus `json:"registration,omitempty"`
}

func (m *metricsAPI) status() metricsAPIStatus {
	s := metricsAPIStatus{Says: "metrics.k8s.io is served."}
	if err := m.server.Err(); err != nil {
		s.Says = "metrics.k8s.io is not served: " + err.Error() + "."
		s.Problems = append(s.Problems, s.Says)
	}
	if err := m.pods.Synced(); err != nil {
		s.Problems = append(s.Problems, "Pods are not served: "+err.Error()+".")
	}
	if m.registration != nil {
		r := m.registration.Status()
		s.Registration = &r
		s.Problems = append(s.Problems, r.Problems...)
	}
	return s
}

// gatherer is all that this aggregator tells of itself.
func (a *Aggregator) gatherer() prometheus.Gatherer {
	if a.api == nil {
		return a.reg
	}
	all := prometheus.Gatherer(prometheus.Gatherers{a.reg, resource.Machinery()})
	if a.cfg.MetricsServerAliases {
		all = resource.WithAliases(all)
	}
	return all
}
