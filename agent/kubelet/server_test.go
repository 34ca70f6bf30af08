package kubelet

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const testNode = "node-1"

// An authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, SerialNumber: big.NewInt(1),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key := newKey(t)
	return &authority{cert: sign(t, template, template, key, key), key: key}
}

// pem is the authority's certificate, as in a CA file.
func (a *authority) pem() string { return certPEM(a.cert.Raw) }

// issue makes a certificate for the node's name, unless change says otherwise.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "leaf"}, SerialNumber: big.NewInt(2), DNSNames: []string{testNode},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	key := newKey(t)
	return tls.Certificate{Certificate: [][]byte{sign(t, template, a.cert, key, a.key).Raw}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, parentKey crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func keyPEM(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// writeFile replaces a file in one step, as Kubernetes does.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func tempFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	writeFile(t, path, content)
	return path
}

// startServer serves handler over TLS on the loopback until the test ends.
func startServer(t *testing.T, config *tls.Config, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = config
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// startKubelet serves handler as the kubelet of testNode does, and returns
// the configuration to reach it.
func startKubelet(t *testing.T, handler http.HandlerFunc) (Config, *httptest.Server) {
	t.Helper()
	ca := newAuthority(t, "cluster")
	server := startServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}}, handler)
	cfg := configFor(t, server.Listener.Addr())
	cfg.CAFile = tempFile(t, ca.pem())
	return cfg, server
}

// configFor dials addr. Its timeout is for tests that don't wait for it.
func configFor(t *testing.T, addr net.Addr) Config {
	t.Helper()
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Node: testNode, Address: host, Port: number, Timeout: time.Minute}
}

// startClient makes a client outside of any cluster.
func startClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	client, err := newClient(cfg, filepath.Join(t.TempDir(), "no-service-account"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// wantOK fetches without a failure.
func wantOK(t *testing.T, client *Client, form Form) Answer {
	t.Helper()
	answer, err := client.Fetch(context.Background(), form)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	return answer
}

// wantFailure fetches with a failure of that kind, whose text has all of parts.
func wantFailure(t *testing.T, client *Client, form Form, kind Kind, parts ...string) Answer {
	t.Helper()
	answer, err := client.Fetch(context.Background(), form)
	checkFailure(t, answer, err, kind, parts...)
	return answer
}

func checkFailure(t *testing.T, answer Answer, err error, kind Kind, parts ...string) {
	t.Helper()
	failure, ok := errors.AsType[*Error](err)
	if !ok || failure.Kind != kind {
		t.Fatalf("error %v, want %v", err, kind)
	}
	if failure.Status != answer.Status {
		t.Errorf("error has status %d, answer %d", failure.Status, answer.Status)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if answer.At.IsZero() || len(answer.Scrape.Groups) > 0 || len(answer.Body) > keptBody {
		t.Errorf("answer at %v with %d groups and %d bytes", answer.At, len(answer.Scrape.Groups), len(answer.Body))
	}
}
