package stranger

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net/http"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// ForgedCertificate is an aggregator's, of a CA of our own.
func ForgedCertificate() (tls.Certificate, error) {
	now := time.Now()
	ca, err := identity.NewAuthority("rollcall", now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := ca.Issue(identity.Peer{Role: identity.Aggregator, Name: "rollcall-aggregator"}, key.Public(), now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, ca.Cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Ask asks an agent, at host:port, for its data, with these certificates or none.
// It returns what it got.
func Ask(ctx context.Context, agent string, certificates ...tls.Certificate) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+agent+wire.ChunksPath, nil)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.Status + " " + string(body), err
}
