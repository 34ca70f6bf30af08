package virtual

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// PeerPort is where agents answer aggregators.
	PeerPort = 9810
	// MaxNodes is how many addresses of a /16 the fleet has for nodes, with a
	// second one for each.
	MaxNodes = 16000
	// maxPods is how many pods Kubernetes allows on a node at most.
	maxPods = 500
	// maxHistory is a week: names are used again after 512 lives of a pod.
	maxHistory = 7 * 24 * time.Hour
)

// Config says what fleet of virtual agents to run. All but Log is required.
type Config struct {
	Nodes int
	// Pods is how many each node has; they have half as many containers more.
	Pods int
	// Resolution is the distance of slots, History how long they are kept.
	Resolution, History time.Duration
	// Seed decides all names and values.
	Seed int64
	// Deployments, if there are any, have all pods: the same number each, give or
	// take one, spread over the nodes. Without, pods are of workloads of all kinds.
	Deployments []Deployment
	// Host is the address of the i-th node, Spare another one that it may have
	// after a restart. All are in 127.0.0.0/8.
	Host, Spare func(i int) netip.Addr

	// Authority issues the agents' certificates. Identity is of the same CA; it
	// counts what the agents refuse.
	Authority *identitytest.Authority
	Identity  *identity.Source

	// Label and Key are those of gossip, GossipPort is its port, which is taken at
	// all addresses of the machine; 0 is any that is free.
	Label      string
	Key        []byte
	GossipPort int
	Timing     roster.Timing
	// Log gets what goes wrong. It may be nil.
	Log *slog.Logger

	life int // slots; 0 is lifeSlots. Templates of shorter lives are made faster.
}

// Validate says what is wrong, naming the flags of rollcall-fleet.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Nodes < 1 || c.Nodes > MaxNodes {
		bad("--virtual-nodes %d is not in 1 to %d", c.Nodes, MaxNodes)
	}
	if c.Pods < 1 || c.Pods > maxPods {
		bad("--pods %d is not in 1 to %d", c.Pods, maxPods)
	}
	if err := model.ValidateResolution(c.Resolution); err != nil {
		bad("--resolution: %w", err)
	}
	if c.History < model.BlockSeconds*time.Second || c.History > maxHistory {
		bad("--virtual-history %v is not in 15m to %v", c.History, maxHistory)
	}
	return errors.Join(append(errs, c.validateDeployments())...)
}

// A Deployment is one whose pods are on the fleet's nodes.
type Deployment struct {
	Namespace string
	// Name is that of its ReplicaSet, with which the names of its pods begin.
	Name string
}

// validateDeployments says what would make two pods have the same name.
func (c *Config) validateDeployments() error {
	if n := len(c.Deployments); n > 0 && c.Nodes*c.Pods/n >= replicas {
		return fmt.Errorf("%d deployments are too few for %d pods: at most %d each", n, c.Nodes*c.Pods, replicas)
	}
	known := make(map[Deployment]bool, len(c.Deployments))
	for _, d := range c.Deployments {
		if known[d] {
			return fmt.Errorf("two deployments are called %s/%s", d.Namespace, d.Name)
		}
		known[d] = true
	}
	return nil
}

// nodeName is the i-th node's, from 0.
func nodeName(i int) string { return fmt.Sprintf("node-%d", i+1) }
