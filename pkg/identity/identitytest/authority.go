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
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// validity is how long the certificates last: longer than any test or demo.
const validity = 30 * 24 * time.Hour

// An Authority is a CA with an ECDSA P-256 key. It is safe for concurrent use,
// except that the same name must not be issued twice at once.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes a CA and writes its certificate to dir/ca.pem. dir must exist.
func New(dir string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := template("rollcall test CA")
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("create CA: %w", err)
	}
	a := &Authority{dir: dir, cert: cert, key: key}
	if err := write(a.CA(), 0o644, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, fmt.Errorf("create CA: %w", err)
	}
	return a, nil
}

// CA is the path of the CA's certificate.
func (a *Authority) CA() string { return filepath.Join(a.dir, "ca.pem") }

// An Option changes a certificate before it is signed.
type Option func(*x509.Certificate)

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
	c, err := peerTemplate(peer, opts)
	if err != nil {
		return identity.Files{}, err
	}
	return a.issue(c, fmt.Sprintf("%s-%s", peer.Role, peer.Name))
}

// IssueInMemory makes a certificate as Issue does, and writes no files: 5000
// take half a second.
func (a *Authority) IssueInMemory(peer identity.Peer, opts ...Option) (tls.Certificate, error) {
	c, err := peerTemplate(peer, opts)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, key, err := a.sign(c)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue %v: %w", peer, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue %v: %w", peer, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func peerTemplate(peer identity.Peer, opts []Option) (*x509.Certificate, error) {
	c, err := template(peer.Name)
	if err != nil {
		return nil, err
	}
	c.URIs = []*url.URL{peer.URI()}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, opt := range opts {
		opt(c)
	}
	return c, nil
}

// sign makes a key, and a certificate for it.
func (a *Authority) sign(c *x509.Certificate) (der []byte, key *ecdsa.PrivateKey, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	der, err = x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	return der, key, err
}

// IssueServer writes server-<name>.pem and server-<name>.key: a plain serving
// certificate with that DNS name and those addresses, which names no peer. It
// is what a stand-in kubelet has.
func (a *Authority) IssueServer(name string, ips ...net.IP) (identity.Files, error) {
	c, err := template(name)
	if err != nil {
		return identity.Files{}, err
	}
	c.DNSNames = []string{name}
	c.IPAddresses = ips
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return a.issue(c, "server-"+name)
}

func (a *Authority) issue(c *x509.Certificate, base string) (identity.Files, error) {
	fail := func(err error) (identity.Files, error) {
		return identity.Files{}, fmt.Errorf("issue %s: %w", base, err)
	}
	der, key, err := a.sign(c)
	if err != nil {
		return fail(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fail(err)
	}
	files := identity.Files{
		Cert: filepath.Join(a.dir, base+".pem"),
		Key:  filepath.Join(a.dir, base+".key"),
		CA:   a.CA(),
	}
	if err := write(files.Key, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}); err != nil {
		return fail(err)
	}
	if err := write(files.Cert, 0o644, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return fail(err)
	}
	return files, nil
}

// template is what all certificates have in common. They begin an hour ago,
// for clocks that differ.
func template(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	// RFC 5280 bounds a common name at 64 bytes; nobody reads it here.
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name[:min(len(name), 64)]},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}, nil
}

// WriteGossipKey writes a new random AES-256 key as the only one in the file,
// readable by the owner only.
func WriteGossipKey(path string) error {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return replace(path, 0o600, []byte(base64.StdEncoding.EncodeToString(key)+"\n"))
}

func write(path string, mode os.FileMode, block *pem.Block) error {
	return replace(path, mode, pem.EncodeToMemory(block))
}

// replace swaps the file in at once, so that nobody reads half of it.
func replace(path string, mode os.FileMode, content []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, content, mode); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
