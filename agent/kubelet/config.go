package kubelet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// DefaultMaxBody is the largest body read if Config.MaxBody is 0: 500 pods,
// each with several containers, pressure stall information and volumes, take
// 16 KiB each in the full form. (Measured: 2.3 KB for a pod with 1.4
// containers.)
const DefaultMaxBody = 500 * 16 << 10

// largestMaxBody is what MaxBody may be at most: 1 GiB. A limit that does not
// limit is a mistake, and the agent holds the body in memory.
const largestMaxBody = 1 << 30

// serviceAccountDir is where Kubernetes mounts a pod's token and the cluster's CA.
const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// A Config says how to reach the kubelet of this node.
type Config struct {
	// Node is the node's name. The kubelet's certificate is expected to carry
	// it or Address. (--node-name)
	Node string
	// Address is the IP address to dial, the host's. (--kubelet-address)
	Address string
	// Port is the kubelet's authenticated port, 10250. (--kubelet-port)
	Port int

	// CAFile holds the CA certificates that vouch for the kubelet's, in PEM.
	// "" is the CA of the cluster, as mounted into a pod, and without that
	// the system's. (--kubelet-certificate-authority)
	CAFile string
	// InsecureTLS accepts any certificate. Whoever answers at Address then
	// gets the token. (--kubelet-insecure-tls)
	InsecureTLS bool

	// ClientCert and ClientKey are PEM files of a certificate to authenticate
	// with. (--kubelet-client-certificate, --kubelet-client-key)
	ClientCert, ClientKey string
	// TokenFile holds the bearer token. "" is the service account's, as
	// mounted into a pod; without that, no token is sent. (--kubelet-token-file)
	TokenFile string

	// Timeout bounds one request, from dialing to the last byte of the body.
	// (--kubelet-request-timeout)
	Timeout time.Duration
	// MaxBody is the largest body that is read, in bytes; 0 is
	// DefaultMaxBody. (--kubelet-max-body)
	MaxBody int64
}

// Validate says what is wrong with the values, by flag. It reads no file:
// files come and change while the agent runs, and an agent that cannot ask
// its kubelet still serves its history.
func (c *Config) Validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.Node == "" {
		refuse("--node-name is required: the kubelet's certificate carries it")
	}
	if _, err := netip.ParseAddr(c.Address); err != nil {
		refuse("--kubelet-address must be the host's IP address (status.hostIP), not %q", c.Address)
	}
	if c.Port < 1 || c.Port > 65535 {
		refuse("--kubelet-port must be between 1 and 65535, not %d; kubelets listen on 10250", c.Port)
	}
	if c.InsecureTLS && c.CAFile != "" {
		refuse("--kubelet-insecure-tls and --kubelet-certificate-authority exclude each other")
	}
	if (c.ClientCert == "") != (c.ClientKey == "") {
		refuse("--kubelet-client-certificate and --kubelet-client-key must be given together")
	}
	if c.Timeout <= 0 {
		refuse("--kubelet-request-timeout must be positive, not %v", c.Timeout)
	}
	if c.MaxBody < 0 || c.MaxBody > largestMaxBody {
		refuse("--kubelet-max-body must be between 0 (the default) and %d bytes, not %d", largestMaxBody, c.MaxBody)
	}
	return errors.Join(errs...)
}

// withDefaults fills in the body limit and the files that Kubernetes mounts
// into a pod, as far as they are in dir.
func (c Config) withDefaults(dir string) Config {
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.CAFile == "" && !c.InsecureTLS {
		c.CAFile = ifExists(filepath.Join(dir, "ca.crt"))
	}
	if c.TokenFile == "" {
		c.TokenFile = ifExists(filepath.Join(dir, "token"))
	}
	return c
}

func ifExists(path string) string {
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
