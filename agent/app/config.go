package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// A Config is all that an agent is told. Flags fill it in; see AddFlags.
type Config struct {
	// Node is the node's name (--node-name).
	Node string
	// Resolution is the distance of slots, Duration how much measuring time
	// is kept (--metric-resolution, --metric-duration).
	Resolution, Duration time.Duration
	// Namespaces are the only ones whose pods are kept; empty is all.
	Namespaces []string
	// DataDir is where the ring lies, MaxDisk what it may take, in bytes.
	DataDir string
	MaxDisk int64
	// Kubelet is how to reach the kubelet; its Node is Node.
	Kubelet kubelet.Config
	// Listen addresses, "host:port". LocalListen has to be loopback.
	PeerListen, LocalListen, MetricsListen string
	// Identity are the files of the agent's certificate; with Enrol only the CA's.
	Identity identity.Files
	// Enrol is how to get a certificate, if its Address is set.
	Enrol enrol.Config
	// Roster is gossip; its Name, Role, PeerPort and Version are set by New.
	Roster roster.Config

	// WrapListener may put faults between the servers and the network. It may
	// be nil.
	WrapListener func(net.Listener) net.Listener

	flags *pflag.FlagSet // for /debug/config
}

// AddFlags adds the agent's flags, with defaults for a pod of a DaemonSet.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	c.flags = fs
	fs.StringVar(&c.Node, "node-name", os.Getenv("NODE_NAME"), "name of the node; from NODE_NAME")
	fs.DurationVar(&c.Resolution, "metric-resolution", 15*time.Second, "distance of samples; it divides 15m")
	fs.DurationVar(&c.Duration, "metric-duration", 24*time.Hour, "how much history is kept, at least")
	fs.StringSliceVar(&c.Namespaces, "namespaces", nil, "keep pods of these namespaces only; all if empty")
	fs.StringVar(&c.DataDir, "data-dir", "/var/lib/rollcall", "directory of the history")
	c.MaxDisk = ring.DefaultMaxDisk
	fs.Var((*cli.Bytes)(&c.MaxDisk), "max-disk", "what the directory may take; the oldest history is dropped to keep it")

	fs.StringVar(&c.Kubelet.Address, "kubelet-address", os.Getenv("HOST_IP"), "IP address of the kubelet; from HOST_IP")
	fs.IntVar(&c.Kubelet.Port, "kubelet-port", 10250, "port of the kubelet")
	fs.StringVar(&c.Kubelet.CAFile, "kubelet-certificate-authority", "", "CA of the kubelet's certificate, PEM; the cluster's if empty")
	fs.BoolVar(&c.Kubelet.InsecureTLS, "kubelet-insecure-tls", false, "accept any certificate of the kubelet; whoever answers then gets the token")
	fs.StringVar(&c.Kubelet.ClientCert, "kubelet-client-certificate", "", "client certificate for the kubelet, PEM")
	fs.StringVar(&c.Kubelet.ClientKey, "kubelet-client-key", "", "key of the client certificate, PEM")
	fs.StringVar(&c.Kubelet.TokenFile, "kubelet-token-file", "", "bearer token for the kubelet; the service account's if empty")
	fs.DurationVar(&c.Kubelet.Timeout, "kubelet-request-timeout", 10*time.Second, "timeout of a request to the kubelet; never longer than a slot")

	fs.StringVar(&c.PeerListen, "peer-listen", ":9810", "address of the peer API, for aggregators (mutual TLS)")
	fs.StringVar(&c.LocalListen, "local-listen", "127.0.0.1:9811", "loopback address of /api/v1 and /debug of this node")
	fs.StringVar(&c.MetricsListen, "metrics-listen", ":9812", "address of /metrics, /livez and /readyz")
	c.Identity.AddFlags(fs)
	c.Enrol.AddFlags(fs)
	c.Roster.AddFlags(fs)
}

// Validate says what is wrong, naming the flags.
func (c *Config) Validate() error {
	c.complete("")
	errs := []error{c.validateIdentity(), c.Kubelet.Validate(), obs.RequireLoopback("--local-listen", c.LocalListen)}
	if c.Node != "" && !identity.ValidName(c.Node) {
		errs = append(errs, fmt.Errorf("--node-name %q is not a name of a node", c.Node))
	}
	if err := model.ValidateResolution(c.Resolution); err != nil {
		errs = append(errs, fmt.Errorf("--metric-resolution: %w", err))
	}
	if c.Duration < model.BlockSeconds*time.Second {
		errs = append(errs, fmt.Errorf("--metric-duration %v is shorter than a block, 15m", c.Duration))
	}
	if c.DataDir == "" {
		errs = append(errs, errors.New("--data-dir is empty"))
	}
	if c.MaxDisk < ring.MinMaxDisk {
		errs = append(errs, fmt.Errorf("--max-disk %v is less than %v", cli.Bytes(c.MaxDisk), cli.Bytes(ring.MinMaxDisk)))
	}
	if c.Roster.PeerPort == 0 {
		errs = append(errs, fmt.Errorf("--peer-listen %q has no port that others could be told", c.PeerListen))
	} else if c.Node != "" {
		errs = append(errs, c.Roster.Validate())
	}
	return errors.Join(errs...)
}

func (c *Config) validateIdentity() error {
	if c.Enrol.Address == "" {
		if err := c.Identity.Validate(); err != nil {
			return fmt.Errorf("%w; or let an aggregator issue them, see --enrol", err)
		}
		return nil
	}
	if c.Identity.Cert != "" || c.Identity.Key != "" {
		return errors.New("--enrol and --tls-cert-file or --tls-key-file exclude each other")
	}
	if c.Roster.KeyFile == "" {
		return errors.New("--enrol needs --gossip-key-file, which an aggregator publishes, too")
	}
	return c.Enrol.Validate()
}

// complete fills in what follows from other settings.
func (c *Config) complete(version string) {
	c.Kubelet.Node = c.Node
	c.Enrol.CAFile = c.Identity.CA
	c.Roster.Name, c.Roster.Role, c.Roster.Version = c.Node, identity.Agent, version
	if _, port, err := net.SplitHostPort(c.PeerListen); err == nil {
		n, _ := strconv.ParseUint(port, 10, 16)
		c.Roster.PeerPort = uint16(n)
	}
}
