package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

// Types of PEM blocks.
const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY" // PKCS #8
)

// Backdated is how long before it was made a certificate begins, for members
// whose clocks are behind.
const Backdated = time.Hour

// An Authority is a CA that vouches for peers. Without its key, which is
// destroyed when it has a successor, it is only trusted. It never changes.
type Authority struct {
	Cert *x509.Certificate
	key  crypto.Signer // nil: it signs no more
}

// NewAuthority makes a CA with an ECDSA P-256 key, for members of the fleet and
// no further CA, that is valid from from until to.
func NewAuthority(name string, from, to time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create CA: %w", err)
	}
	c, err := template(name, from, to)
	if err != nil {
		return nil, fmt.Errorf("create CA: %w", err)
	}
	c.IsCA, c.BasicConstraintsValid, c.MaxPathLenZero = true, true, true
	c.KeyUsage = x509.KeyUsageCertSign
	cert, err := create(c, c, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create CA: %w", err)
	}
	return &Authority{Cert: cert, key: key}, nil
}

// Signs tells whether it still has its key.
func (a *Authority) Signs() bool { return a.key != nil }

// Retired is the authority without its key.
func (a *Authority) Retired() *Authority { return &Authority{Cert: a.Cert} }

// Issue makes a certificate of the peer for the holder of a key, for servers
// and clients, valid from from until to. Its only name is the peer's URI; change
// may change anything before it is signed.
func (a *Authority) Issue(peer Peer, key crypto.PublicKey, from, to time.Time, change ...func(*x509.Certificate)) (*x509.Certificate, error) {
	if a.key == nil {
		return nil, fmt.Errorf("issue %v: the CA has no key any more", peer)
	}
	c, err := template(peer.Name, from, to)
	if err != nil {
		return nil, fmt.Errorf("issue %v: %w", peer, err)
	}
	c.URIs = []*url.URL{peer.URI()}
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, f := range change {
		f(c)
	}
	cert, err := create(c, a.Cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue %v: %w", peer, err)
	}
	return cert, nil
}

// create signs a certificate.
func create(c, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// template is what all certificates have in common.
func template(name string, from, to time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial,
		// RFC 5280 bounds a common name at 64 bytes; nobody reads it here.
		Subject:   pkix.Name{CommonName: name[:min(len(name), 64)]},
		NotBefore: from,
		NotAfter:  to,
	}, nil
}

// EncodeAuthorities writes authorities as PEM: each one's certificate, and
// after it its key, if it has one.
func EncodeAuthorities(authorities []*Authority) ([]byte, error) {
	var b bytes.Buffer
	for _, a := range authorities {
		b.Write(EncodeCertificate(a.Cert))
		if a.key == nil {
			continue
		}
		der, err := x509.MarshalPKCS8PrivateKey(a.key)
		if err != nil {
			return nil, fmt.Errorf("encode CA key: %w", err)
		}
		b.Write(pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}))
	}
	return b.Bytes(), nil
}

// EncodeCertificate writes a certificate as PEM.
func EncodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: cert.Raw})
}

// ParseAuthorities reads what [EncodeAuthorities] wrote. Errors never hold what
// was read.
func ParseAuthorities(content []byte) ([]*Authority, error) {
	var authorities []*Authority
	for n := 1; ; n++ {
		block, rest := pem.Decode(content)
		if block == nil {
			if len(bytes.TrimSpace(rest)) > 0 {
				return nil, fmt.Errorf("after %d PEM blocks: not PEM", n-1)
			}
			return authorities, nil
		}
		content = rest
		var err error
		if authorities, err = withBlock(authorities, block); err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", n, err)
		}
	}
}

func withBlock(authorities []*Authority, block *pem.Block) ([]*Authority, error) {
	switch block.Type {
	case pemCertificate:
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if !cert.IsCA {
			return nil, errors.New("not the certificate of a CA")
		}
		return append(authorities, &Authority{Cert: cert}), nil
	case pemKey:
		if len(authorities) == 0 || authorities[len(authorities)-1].key != nil {
			return nil, errors.New("a key without its certificate before it")
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("not a PKCS #8 private key")
		}
		a := authorities[len(authorities)-1]
		key, ok := parsed.(crypto.Signer)
		if !ok || !publicEqual(key.Public(), a.Cert.PublicKey) {
			return nil, errors.New("not the key of the certificate before it")
		}
		a.key = key
		return authorities, nil
	}
	return nil, fmt.Errorf("type %q, want %s or %s", block.Type, pemCertificate, pemKey)
}

func publicEqual(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
