package enrol

import (
	"errors"
	"fmt"
	"net"

	"github.com/spf13/pflag"
)

// A Config is what an agent needs to enrol.
type Config struct {
	// Address is where aggregators enrol, "host:port"; a name stands for all its
	// addresses.
	Address string
	// TokenFile is a service account token for [Audience]; the kubelet renews it.
	TokenFile string
	// CAFile are the CAs to trust, PEM. An aggregator publishes them, so they may
	// come after the agent.
	CAFile string
}

// AddFlags adds the flags; CAFile has none here, since members with certificates
// from files need it, too.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Address, "enrol", "", "host:port where aggregators sign this agent's certificate, instead of --tls-cert-file and --tls-key-file; what signs it is trusted through --tls-ca-file, which may come later")
	fs.StringVar(&c.TokenFile, "enrol-token-file", "/var/run/rollcall/token", "service account token for audience \""+Audience+"\" to show there; re-read when it is needed")
}

// Validate says what is wrong, naming the flags.
func (c *Config) Validate() error {
	if host, port, err := net.SplitHostPort(c.Address); err != nil || host == "" || port == "" {
		return fmt.Errorf("--enrol %q is not host:port", c.Address)
	}
	if c.TokenFile == "" || c.CAFile == "" {
		return errors.New("--enrol needs --enrol-token-file and --tls-ca-file")
	}
	return nil
}
