package app

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// GCPercent is GOGC of an aggregator, in percent. What it holds is mostly
// connections and the snapshot, which stay, 150 MB with 5000 nodes: Go's default,
// 100, lets as much again be garbage, 40 less than half as much.
const GCPercent = 40

// A Config is all that an aggregator is told. Flags fill it in; see AddFlags.
type Config struct {
	// Name is the aggregator's own, the pod's in Kubernetes (--name).
	Name string
	// Resolution is the distance of slots, the same as the agents'.
	Resolution time.Duration
	// Namespaces are the only ones whose pods are served; empty is all.
	Namespaces []string
	// Timeout bounds an answer if the request does not say.
	Timeout time.Duration
	// ExpectedFile lists the nodes that should answer; without it, all agents
	// that the roster knows or knew.
	ExpectedFile string
	// Listen addresses, "host:port". DebugListen has to be loopback.
	Listen, DebugListen, MetricsListen string
	Identity                           identity.Files
	// Roster is gossip; its Name, Role, Version and Missing are set by New.
	Roster roster.Config
	Agents agents.Config
	Fanout fanout.Config

	flags *pflag.FlagSet // for /debug/config
}

// AddFlags adds the aggregator's flags, with defaults for a pod of a Deployment.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	c.flags = fs
	fs.StringVar(&c.Name, "name", os.Getenv("POD_NAME"), "name of this aggregator; from POD_NAME")
	fs.DurationVar(&c.Resolution, "metric-resolution", 15*time.Second, "distance of samples, the same as the agents'")
	fs.StringSliceVar(&c.Namespaces, "namespaces", nil, "serve pods of these namespaces only; all if empty")
	fs.StringVar(&c.ExpectedFile, "expected-nodes-file", "", "file with the nodes that should answer, one a line, each with an address if you like; re-read when it changes; without it, all agents that the roster knows or knew")

	fs.StringVar(&c.Listen, "listen", ":8000", "address of /api/v1, /healthz and /readyz (plain HTTP)")
	fs.StringVar(&c.DebugListen, "debug-listen", "127.0.0.1:9811", "loopback address of /debug")
	fs.StringVar(&c.MetricsListen, "metrics-listen", ":9812", "address of /metrics")
	fs.DurationVar(&c.Timeout, "request-timeout", 5*time.Second, "timeout of an answer, if the request does not say")
	fs.DurationVar(&c.Fanout.NodeTimeout, "node-timeout", 1500*time.Millisecond, "timeout of one node's answer")
	fs.IntVar(&c.Fanout.InFlight, "in-flight", 256, "how many nodes one question asks at a time")
	fs.Int64Var(&c.Agents.NodeBudget, "node-budget", agents.DefaultNodeBudget, "largest answer of one node, in bytes")
	fs.Int64Var(&c.Fanout.QueryBudget, "query-budget", fanout.DefaultQueryBudget, "largest sum of all nodes' answers to one question, in bytes")
	fs.Int64Var(&c.Fanout.ProcessBudget, "process-budget", 0, "largest sum of the answers to all questions at a time, in bytes; 0: 512 MiB, or a quarter of the memory that this process may use (GOMEMLIMIT, or its container's) if that is less")
	fs.BoolVar(&c.Agents.NetHTTP, "net-http", false, "ask agents with Go's net/http instead of a client that needs less CPU and memory; should the other one misbehave")
	c.Identity.AddFlags(fs)
	c.Roster.AddFlags(fs)
}

// Validate says what is wrong, naming the flags.
func (c *Config) Validate() error {
	c.complete("")
	errs := []error{c.Identity.Validate(), obs.RequireLoopback("--debug-listen", c.DebugListen)}
	if c.Name == "" {
		errs = append(errs, errors.New("--name is required; in Kubernetes set POD_NAME"))
	} else {
		errs = append(errs, c.Roster.Validate())
	}
	if err := model.ValidateResolution(c.Resolution); err != nil {
		errs = append(errs, fmt.Errorf("--metric-resolution: %w", err))
	}
	for flag, d := range map[string]time.Duration{"--request-timeout": c.Timeout, "--node-timeout": c.Fanout.NodeTimeout} {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s %v is not positive", flag, d))
		}
	}
	for flag, n := range map[string]int64{"--in-flight": int64(c.Fanout.InFlight), "--node-budget": c.Agents.NodeBudget, "--query-budget": c.Fanout.QueryBudget} {
		if n <= 0 {
			errs = append(errs, fmt.Errorf("%s %d is not positive", flag, n))
		}
	}
	if c.Fanout.ProcessBudget < 0 {
		errs = append(errs, fmt.Errorf("--process-budget %d is negative", c.Fanout.ProcessBudget))
	}
	return errors.Join(errs...)
}

// complete fills in what follows from other settings.
func (c *Config) complete(version string) {
	c.Roster.Name, c.Roster.Role, c.Roster.Version = c.Name, identity.Aggregator, version
}
