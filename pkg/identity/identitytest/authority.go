// Package identitytest issues certificates and gossip keys for tests and for
// a fleet on one machine. Its CA lives in memory and dies with the process;
// a cluster needs a real one.
package identitytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// validity is how long the certificates last: longer than any test or demo.
const validity = 30 * 24 * time.Hour

// An Authority is a CA whose certificates are files. It is safe for concurrent
// use, except that the same name must not be issued twice at once.
type Authority struct {
	*identity.Authority
	dir string
}

// New makes a CA and writes its certificate to dir/ca.pem. dir must exist.
func New(dir string) (*Authority, error) {
	from, to := valid()
	ca, err := identity.NewAuthority("rollcall test CA", from, to)
	if err != nil {
		return nil, err
	}
	a := &Authority{Authority: ca, dir: dir}
	if err := replace(a.CA(), 0o644, identity.EncodeCertificate(ca.Cert)); err != nil {
		return nil, fmt.Errorf("create CA: %w", err)
	}
	return a, nil
}

// valid is when certificates are valid: since a while ago, for clocks that
// differ.
func valid() (from, to time.Time) {
	now := time.Now()
	return now.Add(-identity.Backdated), now.Add(validity)
}

// CA is the path of the CA's certificate.
func (a *Authority) CA() string { return filepath.Join(a.dir, "ca.pem") }

// An Option changes a certificate before it is signed.
type Option = func(*x509.Certificate)

// Expired makes a certificate that ended an hour ago.
func Expired() Option {
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
}

// NotYetValid makes a certificate that begins in an hour.
func NotYetValid() Option {
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	}
}

// NotAfter sets the end of the validity.
func NotAfter(t time.Time) Option {
	return func(c *x509.Certificate) { c.NotAfter = t }
}

// URIs replaces the peer's URI. Without arguments there is none.
func URIs(uris ...*url.URL) Option {
	return func(c *x509.Certificate) { c.URIs = uris }
}

// IPs adds addresses.
func IPs(ips ...net.IP) Option {
	return func(c *x509.Certificate) { c.IPAddresses = append(c.IPAddresses, ips...) }
}

// Usages replaces the usages; a peer has both, for servers and for clients.
func Usages(usages ...x509.ExtKeyUsage) Option {
	return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
}

// Issue writes <role>-<name>.pem and, readable by the owner only,
// <role>-<name>.key. Issued again, they are replaced one after the other.
func (a *Authority) Issue(peer identity.Peer, opts ...Option) (identity.Files, error) {
	cert, err := a.IssueInMemory(peer, opts...)
	if err != nil {
		return identity.Files{}, err
	}
	return a.write(cert, fmt.Sprintf("%s-%s", peer.Role, peer.Name))
}

// IssueInMemory makes a certificate as Issue does, and writes no files: 5000
// take half a second.
func (a *Authority) IssueInMemory(peer identity.Peer, opts ...Option) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	from, to := valid()
	leaf, err := a.Authority.Issue(peer, key.Public(), from, to, opts...)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// IssueServer writes server-<name>.pem and server-<name>.key: a plain serving
// certificate with that DNS name and those addresses, which names no peer. It
// is what a stand-in kubelet has.
func (a *Authority) IssueServer(name string, ips ...net.IP) (identity.Files, error) {
	cert, err := a.IssueInMemory(identity.Peer{Name: name}, func(c *x509.Certificate) {
		c.URIs, c.DNSNames, c.IPAddresses = nil, []string{name}, ips
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	if err != nil {
		return identity.Files{}, err
	}
	return a.write(cert, "server-"+name)
}

func (a *Authority) write(cert tls.Certificate, base string) (identity.Files, error) {
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return identity.Files{}, fmt.Errorf("issue %s: %w", base, err)
	}
	files := identity.Files{
		Cert: filepath.Join(a.dir, base+".pem"),
		Key:  filepath.Join(a.dir, base+".key"),
		CA:   a.CA(),
	}
	err = errors.Join(
		replace(files.Key, 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		replace(files.Cert, 0o644, identity.EncodeCertificate(cert.Leaf)))
	if err != nil {
		return identity.Files{}, fmt.Errorf("issue %s: %w", base, err)
	}
	return files, nil
}

// WriteGossipKey writes a new random AES-256 key as the only one in the file,
// readable by the owner only.
func WriteGossipKey(path string) error {
	return replace(path, 0o600, identity.EncodeGossipKeys([]identity.GossipKey{identity.NewGossipKey(time.Now())}))
}

// replace swaps the file in at once, so that nobody reads half of it.
func replace(path string, mode os.FileMode, content []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, content, mode); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
