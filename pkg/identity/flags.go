package identity

import (
	"errors"

	"github.com/spf13/pflag"
)

// AddFlags adds the flags that name the files.
func (f *Files) AddFlags(fs *pflag.FlagSet) {
	const reread = "; re-read when it changes"
	fs.StringVar(&f.Cert, "tls-cert-file", "", "certificate of this member, with its role as URI SAN (rollcall://agent/NODE or rollcall://aggregator/NAME), PEM"+reread)
	fs.StringVar(&f.Key, "tls-key-file", "", "private key of the certificate, PEM"+reread)
	fs.StringVar(&f.CA, "tls-ca-file", "", "CA certificates that vouch for all members, PEM"+reread)
}

// Validate says which of the files is not named.
func (f *Files) Validate() error {
	if f.Cert == "" || f.Key == "" || f.CA == "" {
		return errors.New("--tls-cert-file, --tls-key-file and --tls-ca-file are required: agents and aggregators only talk over mutual TLS")
	}
	return nil
}
