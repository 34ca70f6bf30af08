package stranger

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/rollcall-metrics/rollcall/pkg/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// A Dial connects to an address.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Enrol asks an aggregator for the certificate of a node's agent, with a token,
// and everything else as it should be. It returns why it was refused, or "" if it
// was not.
func Enrol(ctx context.Context, dial Dial, aggregator string, roots *x509.CertPool, node, token string) (reason string, err error) {
	plain, err := dial(ctx, "tcp", aggregator)
	if err != nil {
		return "", err
	}
	conn := tls.Client(plain, identity.TrustConfig(roots, identity.Aggregator))
	defer conn.Close()
	if err := conn.HandshakeContext(ctx); err != nil {
		return "", err
	}
	body, err := request(conn, node, token)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+aggregator+enrol.Path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	transport := &http.Transport{
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true,
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return "", nil
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var e enrol.Error
	if err := json.Unmarshal(answer, &e); err != nil {
		return "", fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return e.Reason, nil
}

func request(conn *tls.Conn, node, token string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	agent := identity.Peer{Role: identity.Agent, Name: node}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{agent.URI()}}, key)
	if err != nil {
		return nil, err
	}
	state := conn.ConnectionState()
	proof, err := enrol.Proof(key, &state, token)
	if err != nil {
		return nil, err
	}
	return json.Marshal(enrol.Request{Token: token, CSR: csr, Proof: proof})
}
