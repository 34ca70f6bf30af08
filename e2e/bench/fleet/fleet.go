package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/e2e/bench/apiserver"
	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/kubelets"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// pods of a node, of which every other has two containers.
	pods = 30
	// kept is how much history agents have.
	kept = 24 * time.Hour
	// limitName is in the certificate of the limit's server.
	limitName = "limit"
	label     = "bench"
)

// A fleet is the process of all agents.
type fleet struct {
	*child.Process
	fleetResult
}

type fleetRequest struct {
	Dir        string
	Nodes      int
	Seed       int64
	Resolution time.Duration
	// Deployments, if there are any, have all pods.
	Deployments []virtual.Deployment
}

// A fleetResult is what is needed to talk to the agents, and the certificates
// of all who are no agents.
type fleetResult struct {
	Nodes                                 []fleetNode
	Aggregator, Limit, Kubelet, APIServer identity.Files
	Seed, Label, KeyFile                  string
}

type fleetNode struct{ Name, Addr string }

// A fleetOrder makes nodes fail.
type fleetOrder struct {
	Nodes []string
	Fault string
}

// theFleet starts the agents.
func (b *bench) theFleet(ctx context.Context) (*fleet, error) {
	if b.fleet != nil {
		return b.fleet, nil
	}
	f, err := b.startFleet(ctx, nil)
	b.fleet = f
	return f, err
}

func (b *bench) startFleet(ctx context.Context, deployments []virtual.Deployment) (f *fleet, err error) {
	b.Progress("%d agents start", b.cfg.Nodes)
	f = &fleet{}
	q := fleetRequest{Dir: b.scratch, Nodes: b.cfg.Nodes, Seed: b.cfg.Seed, Resolution: b.cfg.Resolution, Deployments: deployments}
	if f.Process, err = b.startJob(ctx, "fleet", q, &f.fleetResult); err != nil {
		return nil, err
	}
	return f, nil
}

// fail makes nodes fail from now on, or not.
func (f *fleet) fail(nodes []string, fault string) error {
	if err := f.Tell(fleetOrder{nodes, fault}); err != nil {
		return err
	}
	return f.Result(&struct{}{})
}

// fleetJob is the job "fleet": all agents, with their gossip, and faults as they
// are ordered.
func fleetJob(ctx context.Context, p *child.Parent) (err error) {
	var q fleetRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	log := child.ErrorsOnly()
	authority, err := identitytest.New(q.Dir)
	if err != nil {
		return err
	}
	r := fleetResult{Label: label, KeyFile: filepath.Join(q.Dir, "gossip.key")}
	if err := identitytest.WriteGossipKey(r.KeyFile); err != nil {
		return err
	}
	keys, err := identity.GossipKeys(r.KeyFile)
	if err != nil {
		return err
	}
	var errs [4]error
	r.Aggregator, errs[0] = authority.Issue(identity.Peer{Role: identity.Aggregator, Name: "bench"})
	r.Limit, errs[1] = authority.Issue(identity.Peer{Role: identity.Agent, Name: limitName})
	r.Kubelet, errs[2] = authority.IssueServer(kubelets.Name)
	r.APIServer, errs[3] = authority.IssueServer(apiserver.Name, net.IPv4(127, 0, 0, 1))
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	id, err := identity.Load(r.Limit, log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	f, err := virtual.New(virtual.Config{
		Nodes: q.Nodes, Pods: pods, Resolution: q.Resolution, History: kept, Seed: q.Seed, Deployments: q.Deployments,
		Host: func(i int) netip.Addr { return address(30, i) }, Spare: func(i int) netip.Addr { return address(31, i) },
		Authority: authority, Identity: id, Label: label, Key: keys[0], Timing: roster.DefaultTiming(), Log: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Stop()) }()
	if err := f.Start(ctx); err != nil {
		return err
	}
	r.Seed = f.Seeds()[0]
	for i, name := range f.Nodes() {
		r.Nodes = append(r.Nodes, fleetNode{name, netip.AddrPortFrom(address(30, i), virtual.PeerPort).String()})
	}
	if err := p.Result(r); err != nil {
		return err
	}
	for {
		var o fleetOrder
		if err := p.Next(&o); err != nil {
			return err // io.EOF at the end
		}
		fault, err := virtual.ParseFault(o.Fault)
		if err != nil {
			return err
		}
		if err := f.SetFault(o.Nodes, fault); err != nil {
			return fmt.Errorf("fault %v: %w", fault, err)
		}
		if err := p.Result(struct{}{}); err != nil {
			return err
		}
	}
}

// address is the i-th loopback address of a network of this benchmark.
func address(network byte, i int) netip.Addr {
	i++ // 127.x.0.0 looks like a network
	return netip.AddrFrom4([4]byte{127, network, byte(i >> 8), byte(i)})
}
