package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// Issue signs a certificate, whose only name is the peer's URI, and fails before
// there is a CA.
func (k *Keeper) Issue(peer identity.Peer, key crypto.PublicKey, life time.Duration) (*x509.Certificate, error) {
	authorities := k.known.Load().authorities
	if len(authorities) == 0 {
		return nil, fmt.Errorf("there is no CA yet: %w", k.Err())
	}
	if err := k.clock(); err != nil {
		return nil, err
	}
	return issue(authorities, peer, key, life, time.Now())
}

// issue signs for no longer than the CA lives.
func issue(authorities []*identity.Authority, peer identity.Peer, key crypto.PublicKey, life time.Duration, now time.Time, change ...func(*x509.Certificate)) (*x509.Certificate, error) {
	ca := signer(authorities, now)
	if ca == nil {
		return nil, fmt.Errorf("issue %v: no CA can sign", peer)
	}
	to := now.Add(life)
	if end := ca.Cert.NotAfter; to.After(end) {
		to = end
	}
	return ca.Issue(peer, key, now.Add(-identity.Backdated), to, change...)
}

// clock is an error if this machine's clock is wrong. Whoever lives in another
// year would retire a CA that everybody else needs.
func (k *Keeper) clock() error {
	skew := k.cfg.Skew().Round(time.Second)
	switch {
	case skew > maxSkew:
		return fmt.Errorf("the clock of this node is %v ahead of the API server's; nothing is signed until it is set", skew)
	case skew < -maxSkew:
		return fmt.Errorf("the clock of this node is %v behind the API server's; nothing is signed until it is set", -skew)
	}
	return nil
}

// certify gives this aggregator a certificate if it has none, after two thirds of
// its life, when the CAs have changed, and when the clock was set back.
func (k *Keeper) certify(authorities []*identity.Authority, now time.Time) error {
	trusted := bundle(authorities)
	if k.own != nil && trusted == k.trusted && now.Before(k.renew) && now.After(k.own.NotBefore) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert, err := issue(authorities, k.id.Self(), key.Public(), enrol.Lifetime, now, func(c *x509.Certificate) {
		c.DNSNames = k.cfg.DNSNames
	})
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	for _, a := range authorities {
		roots.AddCert(a.Cert)
	}
	if err := k.id.Install(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, roots); err != nil {
		return err
	}
	now = now.Round(0) // a monotonic clock stands still while a machine sleeps
	k.own, k.trusted, k.renew = cert, trusted, now.Add(cert.NotAfter.Sub(now)*2/3)
	k.log.Info("own certificate issued", "peer", k.id.Self().String(), "not_after", cert.NotAfter)
	return nil
}
