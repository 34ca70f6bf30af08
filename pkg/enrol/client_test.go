package enrol

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	self       = identity.Peer{Role: identity.Agent, Name: "node-1"}
	aggregator = identity.Peer{Role: identity.Aggregator, Name: "aggregator-1"}
)

func newCA(t *testing.T) *identity.Authority {
	t.Helper()
	ca, err := identity.NewAuthority("test", time.Now().Add(-time.Hour), time.Now().Add(100*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// certificate of a peer with a key of its own.
func certificate(t *testing.T, ca *identity.Authority, peer identity.Peer) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(peer, key.Public(), time.Now().Add(-time.Hour), time.Now().Add(Lifetime))
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// A place is where a client enrols; sign may be changed.
type place struct {
	ca    *identity.Authority
	sign  func(csr *x509.CertificateRequest) (*x509.Certificate, error)
	asked atomic.Int32
	dir   string
	c     *Client
	id    *identity.Source
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{ca: newCA(t), dir: t.TempDir()}
	p.sign = func(csr *x509.CertificateRequest) (*x509.Certificate, error) {
		return p.ca.Issue(self, csr.PublicKey, time.Now().Add(-time.Hour), time.Now().Add(Lifetime))
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		var req Request
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || r.URL.Path != Path || req.Token != "secret" {
			t.Errorf("%s, %+v, %v", r.URL, req, err)
		}
		csr, err := x509.ParseCertificateRequest(req.CSR)
		if err != nil {
			t.Error(err)
			return
		}
		if err := CheckProof(csr.PublicKey, r.TLS, req.Token, req.Proof); err != nil {
			t.Error(err)
		}
		cert, err := p.sign(csr)
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(Error{Reason: "no", Message: err.Error()})
			return
		}
		_ = json.NewEncoder(w).Encode(Response{Certificate: cert.Raw})
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, p.ca, aggregator)}, MinVersion: tls.VersionTLS13}
	server.StartTLS()
	t.Cleanup(server.Close)
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	p.id = identity.New(self, log, reg)
	var err error
	p.c, err = NewClient(Config{
		Address: server.Listener.Addr().String(), TokenFile: filepath.Join(p.dir, "token"), CAFile: filepath.Join(p.dir, "ca.crt"),
	}, p.id, log, reg)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "token", "secret\n")
	p.publish(t, p.ca)
	return p
}

func (p *place) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *place) publish(t *testing.T, cas ...*identity.Authority) {
	t.Helper()
	text := ""
	for _, ca := range cas {
		text += string(identity.EncodeCertificate(ca.Cert))
	}
	p.write(t, "ca.crt", text)
}

// admits tells whether the agent lets in an aggregator of that CA.
func (p *place) admits(t *testing.T, ca *identity.Authority) bool {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	result := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			result <- err
			return
		}
		defer raw.Close()
		result <- tls.Server(raw, p.id.ServerConfig(identity.Aggregator)).Handshake()
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	client := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{certificate(t, ca, aggregator)}})
	_ = client.Handshake() // the server's word counts
	return <-result == nil
}

func TestRenewal(t *testing.T) {
	p := newPlace(t)
	keep := func(want int32) {
		t.Helper()
		if err := p.c.keep(t.Context()); err != nil || p.asked.Load() != want {
			t.Fatalf("asked %d times, want %d: %v", p.asked.Load(), want, err)
		}
	}
	keep(1)
	keep(1)
	if left := time.Until(p.c.renew); left > Lifetime*2/3 || left < Lifetime*2/3-time.Minute {
		t.Errorf("the next one in %v", left)
	}
	first := p.c.current
	p.c.renew = time.Now().Add(-time.Second)
	keep(2)
	if p.c.current == first {
		t.Error("the certificate is the old one")
	}
	// One that is short is renewed in time, too.
	p.sign = func(csr *x509.CertificateRequest) (*x509.Certificate, error) {
		return p.ca.Issue(self, csr.PublicKey, time.Now().Add(-time.Hour), time.Now().Add(3*time.Hour))
	}
	p.c.renew = time.Now().Add(-time.Second)
	keep(3)
	if left := time.Until(p.c.renew); left > 2*time.Hour {
		t.Errorf("of three hours, the next one in %v", left)
	}
}

// A CA that is not published any more is not trusted from then on, whether or not
// the next one signs.
func TestReplacedCA(t *testing.T) {
	p := newPlace(t)
	if err := p.c.keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, next := p.ca, newCA(t)
	if !p.admits(t, old) || p.admits(t, next) {
		t.Error("it should trust the first CA only")
	}
	p.publish(t, old, next)
	if err := p.c.keep(t.Context()); err != nil || p.asked.Load() != 1 {
		t.Errorf("a CA more: asked %d times, %v", p.asked.Load(), err)
	}
	if !p.admits(t, old) || !p.admits(t, next) {
		t.Error("it should trust both")
	}
	p.publish(t, next) // whose certificate the place does not have
	if err := p.c.keep(t.Context()); err == nil || !strings.Contains(err.Error(), "untrusted") {
		t.Errorf("error %v", err)
	}
	if p.admits(t, old) || !p.admits(t, next) {
		t.Error("it should trust the second CA only")
	}
}

// Whatever it gets is checked before it is used.
func TestWrongAnswers(t *testing.T) {
	other := newCA(t)
	for name, tt := range map[string]struct {
		sign func(p *place, csr *x509.CertificateRequest) (*x509.Certificate, error)
		want string
	}{
		"of another node": {func(p *place, csr *x509.CertificateRequest) (*x509.Certificate, error) {
			return p.ca.Issue(identity.Peer{Role: identity.Agent, Name: "node-2"}, csr.PublicKey, time.Now(), time.Now().Add(Lifetime))
		}, "node-2"},
		"for another key": {func(p *place, _ *x509.CertificateRequest) (*x509.Certificate, error) {
			return certificate(t, p.ca, self).Leaf, nil
		}, "another key"},
		"of another CA": {func(_ *place, csr *x509.CertificateRequest) (*x509.Certificate, error) {
			return other.Issue(self, csr.PublicKey, time.Now().Add(-time.Hour), time.Now().Add(Lifetime))
		}, "vouch"},
		"expired": {func(p *place, csr *x509.CertificateRequest) (*x509.Certificate, error) {
			return p.ca.Issue(self, csr.PublicKey, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
		}, "vouch"},
		"nothing": {func(*place, *x509.CertificateRequest) (*x509.Certificate, error) { return &x509.Certificate{}, nil }, "read the certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.sign = func(csr *x509.CertificateRequest) (*x509.Certificate, error) { return tt.sign(p, csr) }
			if err := p.c.keep(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			select {
			case <-p.id.Ready():
				t.Error("it is used")
			default:
			}
		})
	}
}
