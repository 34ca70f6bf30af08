package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validFor is how long certificates are good; a cluster lives for hours.
const validFor = 30 * 24 * time.Hour

// An authority issues certificates into files of a directory: NAME.crt and
// NAME.key.
type authority struct {
	dir, name string
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
}

// newAuthority makes one, and its files.
func newAuthority(dir, name string) (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	a := &authority{dir: dir, name: name}
	var err error
	if a.key, err = newKey(); err != nil {
		return nil, err
	}
	der, err := sign(template, template, a.key, a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w", name, err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return a, writePair(dir, name, der, a.key)
}

// A subject is what a certificate is about.
type subject struct {
	// file is the name of its files.
	file string
	// user and group are those of a client of the API server.
	user, group string
	// hosts are names and addresses of a server; none for clients.
	hosts []string
}

// issue makes a certificate and its key.
func (a *authority) issue(s subject) error {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: s.user},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if s.group != "" {
		template.Subject.Organization = []string{s.group}
	}
	for _, h := range s.hosts {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := sign(template, a.cert, key, a.key)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", s.file, err)
	}
	return writePair(a.dir, s.file, der, key)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	// Clocks are the same; a minute is for whole seconds.
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = time.Now().Add(validFor)
	return x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
}

// writePair writes NAME.crt and NAME.key.
func writePair(dir, name string, cert []byte, key *ecdsa.PrivateKey) error {
	if err := writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", cert); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, name+".key"), "PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// makePKI makes all that a cluster's components show each other. Service
// account tokens are signed with service-accounts.key.
func makePKI(dir string, nodes []*Node) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ca, err := newAuthority(dir, "ca")
	if err != nil {
		return err
	}
	front, err := newAuthority(dir, "front-proxy-ca")
	if err != nil {
		return err
	}
	if err := front.issue(subject{file: "front-proxy-client", user: "front-proxy-client"}); err != nil {
		return err
	}
	subjects := []subject{
		{file: "apiserver", user: "kube-apiserver", hosts: []string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + dnsDomain,
			"localhost", "127.0.0.1", apiAddress, apiService}},
		{file: "apiserver-kubelet-client", user: "kube-apiserver-kubelet-client", group: "system:masters"},
		{file: "controller-manager", user: "system:kube-controller-manager"},
		{file: "scheduler", user: "system:kube-scheduler"},
		{file: "kube-proxy", user: "system:kube-proxy"},
		{file: "admin", user: "admin", group: "system:masters"},
		{file: "service-accounts", user: "service-accounts"},
	}
	for _, n := range nodes {
		subjects = append(subjects,
			subject{file: n.Name, user: "system:node:" + n.Name, group: "system:nodes"},
			subject{file: n.Name + "-serving", user: "system:node:" + n.Name, group: "system:nodes", hosts: []string{n.Name, n.IP.String()}})
	}
	for _, s := range subjects {
		if err := ca.issue(s); err != nil {
			return err
		}
	}
	return nil
}
