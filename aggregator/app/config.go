package app

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/authority"
	"github.com/rollcall-metrics/rollcall/aggregator/dashboard"
	"github.com/rollcall-metrics/rollcall/aggregator/expected"
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

// Values of --expected-nodes.
const (
	fromKubernetes = "kubernetes"
	fromRoster     = "roster"
)

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
	// DashboardWindow is how much the Kubernetes Dashboard is shown: from a slot to
	// 24 h; 0 is dashboard.DefaultWindow.
	DashboardWindow time.Duration
	// Expected is where the nodes that should answer are from: "kubernetes", or
	// "roster" for all agents that the roster knows or knew. ExpectedFile, if it is
	// set, lists them instead.
	Expected, ExpectedFile string
	// Namespace is Rollcall's own, in which AgentDaemonSet runs agents as
	// AgentAccount. It is needed with Authority and Expected "kubernetes" only.
	Namespace, AgentDaemonSet, AgentAccount string
	// Listen addresses, "host:port". DebugListen has to be loopback. EnrolListen is
	// used with Authority only.
	Listen, DebugListen, MetricsListen, EnrolListen string
	// Kubeconfig says where the API server is, and who this is; empty: the pod's
	// service account.
	Kubeconfig string
	// ResourceMetrics serves metrics.k8s.io at ResourceListen, behind the Service
	// ResourceService. AuditPolicy, if it is set, is the file that says which of its
	// requests are logged to stdout. MetricsServerAliases has some of our own metrics
	// under metrics-server's names, too.
	ResourceMetrics, MetricsServerAliases        bool
	ResourceListen, ResourceService, AuditPolicy string
	// Authority issues certificates, to agents and to itself, from a CA in the
	// cluster, which keeps the gossip keys, too. Without it, they are from Identity.
	Authority bool
	Identity  identity.Files
	// Roster is gossip; its Name, Role, Version and Missing are set by New.
	Roster roster.Config
	Agents agents.Config
	Fanout fanout.Config

	flags   *pflag.FlagSet // for /debug/config
	scraper scraperFlags
}

// AddFlags adds the aggregator's flags, with defaults for a pod of a Deployment.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	c.flags = fs
	fs.StringVar(&c.Name, "name", os.Getenv("POD_NAME"), "name of this aggregator; from POD_NAME")
	fs.DurationVar(&c.Resolution, "metric-resolution", 15*time.Second, "distance of samples, the same as the agents'")
	fs.StringSliceVar(&c.Namespaces, "namespaces", nil, "serve pods of these namespaces only; all if empty")
	fs.DurationVar(&c.DashboardWindow, "dashboard-window", dashboard.DefaultWindow, "how much the Kubernetes Dashboard is shown")
	fs.StringVar(&c.Expected, "expected-nodes", fromRoster, `which nodes should answer: "kubernetes": its nodes, but those where --agent-daemonset cannot run; "roster": all agents that the roster knows or knew`)
	fs.StringVar(&c.ExpectedFile, "expected-nodes-file", "", "file with the nodes that should answer, instead, one a line, each with an address if you like; re-read when it changes")

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
	fs.StringVar(&c.Kubeconfig, "kubeconfig", "", "file that says how to reach the API server; the pod's service account if empty")
	fs.BoolVar(&c.ResourceMetrics, "resource-metrics", false, "serve metrics.k8s.io, for kubectl top and autoscalers; needs --expected-nodes=kubernetes")
	fs.StringVar(&c.ResourceListen, "resource-listen", ":8443", "address of metrics.k8s.io (TLS)")
	fs.StringVar(&c.ResourceService, "resource-service", "rollcall-metrics-api", "name of the Service through which the API server reaches --resource-listen")
	fs.StringVar(&c.AuditPolicy, "audit-policy-file", "", "audit policy (audit.k8s.io/v1) for metrics.k8s.io, whose events go to stdout; none if empty")
	fs.BoolVar(&c.MetricsServerAliases, "metrics-server-aliases", false, "on /metrics, tell what metrics-server tells of itself under its names, too")
	fs.BoolVar(&c.Authority, "authority", false, "issue certificates to agents and to this aggregator, from a CA in the Secret "+authority.AuthoritySecret+"; gossip keys are from the Secret "+authority.GossipSecret+", then")
	fs.StringVar(&c.EnrolListen, "enrol-listen", ":9810", "address where agents enrol (TLS), with --authority")
	fs.StringVar(&c.Namespace, "own-namespace", os.Getenv("POD_NAMESPACE"), "namespace of the agents and of this aggregator; from POD_NAMESPACE")
	fs.StringVar(&c.AgentDaemonSet, "agent-daemonset", expected.DefaultDaemonSet, "name of the agents' DaemonSet")
	fs.StringVar(&c.AgentAccount, "agent-service-account", "rollcall-agent", "name of the agents' service account, the only one that may enrol")
	c.Identity.AddFlags(fs)
	c.Roster.AddFlags(fs)
	c.scraper.addFlags(fs)
}

// Validate says what is wrong, naming the flags.
func (c *Config) Validate() error {
	c.complete("")
	errs := []error{c.validateIdentity(), c.validateExpected(), obs.RequireLoopback("--debug-listen", c.DebugListen), c.validateDashboard()}
	if c.Name == "" {
		errs = append(errs, errors.New("--name is required; in Kubernetes set POD_NAME"))
	} else {
		errs = append(errs, c.Roster.Validate())
	}
	if err := model.ValidateResolution(c.Resolution); err != nil {
		errs = append(errs, fmt.Errorf("--metric-resolution: %w; it has to be the agents', 15s if theirs is not set", err))
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

func (c *Config) validateIdentity() error {
	if !c.Authority {
		if err := c.Identity.Validate(); err != nil {
			return fmt.Errorf("%w; or issue them, see --authority", err)
		}
		return nil
	}
	if c.Identity != (identity.Files{}) || c.Roster.KeyFile != "" {
		return errors.New("--authority excludes --tls-cert-file, --tls-key-file, --tls-ca-file and --gossip-key-file")
	}
	if _, port, err := net.SplitHostPort(c.EnrolListen); err != nil || port == "" {
		return fmt.Errorf("--enrol-listen %q is not host:port", c.EnrolListen)
	}
	return c.requireNamespace("--authority")
}

func (c *Config) validateExpected() error {
	switch {
	case c.Expected != fromRoster && c.Expected != fromKubernetes:
		return fmt.Errorf("--expected-nodes %q is neither %s nor %s", c.Expected, fromKubernetes, fromRoster)
	case c.Expected == fromRoster && c.ResourceMetrics:
		return errors.New("--resource-metrics needs --expected-nodes=kubernetes")
	case c.Expected == fromRoster:
		return nil
	case c.ExpectedFile != "":
		return errors.New("--expected-nodes=kubernetes and --expected-nodes-file exclude each other")
	}
	return c.requireNamespace("--expected-nodes=kubernetes")
}

func (c *Config) requireNamespace(by string) error {
	if c.Namespace == "" {
		return fmt.Errorf("%s needs --own-namespace; in Kubernetes set POD_NAMESPACE", by)
	}
	return nil
}

// complete fills in what follows from other settings.
func (c *Config) complete(version string) {
	c.Expected = cmp.Or(c.Expected, fromRoster)
	c.heedScraper()
	c.Roster.Name, c.Roster.Role, c.Roster.Version = c.Name, identity.Aggregator, version
	if _, port, err := net.SplitHostPort(c.EnrolListen); err == nil && c.Authority {
		n, _ := strconv.ParseUint(port, 10, 16)
		c.Roster.PeerPort = uint16(n)
	}
}
