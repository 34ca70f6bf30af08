package enrol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	authentication "k8s.io/api/authentication/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/pkg/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tokens answers TokenReviews as an API server does; which of its users a token
// is of is in the map.
type tokens struct {
	users map[string]authentication.TokenReviewStatus
	down  atomic.Bool
	asked atomic.Int32
	// wait, if not nil, holds up reviews, which then tell waiting, until it is closed.
	wait    chan struct{}
	waiting chan struct{}
}

func (t *tokens) Create(_ context.Context, r *authentication.TokenReview, _ meta.CreateOptions) (*authentication.TokenReview, error) {
	t.asked.Add(1)
	if t.down.Load() {
		return nil, errors.New("connection refused")
	}
	r = r.DeepCopy()
	// Without any, an API server takes its own audience.
	if !slices.Equal(r.Spec.Audiences, []string{"rollcall"}) {
		r.Status.Error = "token audiences are not accepted"
		return r, nil
	}
	r.Status = t.users[r.Spec.Token]
	if t.wait != nil {
		t.waiting <- struct{}{}
		<-t.wait
	}
	return r, nil
}

func user(name, pod, node string, audiences ...string) authentication.TokenReviewStatus {
	s := authentication.TokenReviewStatus{Authenticated: true, Audiences: audiences, User: authentication.UserInfo{Username: name, Extra: map[string]authentication.ExtraValue{}}}
	if pod != "" {
		s.User.Extra[podClaim] = []string{pod}
	}
	if node != "" {
		s.User.Extra[nodeClaim] = []string{node}
	}
	return s
}

const account = "system:serviceaccount:rollcall:rollcall-agent"

// ca is an authority that may not be there.
type ca struct {
	*identitytest.Authority
	absent atomic.Bool
}

func (c *ca) Issue(peer identity.Peer, key crypto.PublicKey, life time.Duration) (*x509.Certificate, error) {
	if c.absent.Load() {
		return nil, errors.New("there is no CA yet")
	}
	return c.Authority.Authority.Issue(peer, key, time.Now().Add(-identity.Backdated), time.Now().Add(life))
}

// site is an aggregator where agents enrol.
type site struct {
	t       *testing.T
	ca      *ca
	reviews *tokens
	address string
	reg     *prometheus.Registry
	roots   *x509.CertPool
}

func newSite(t *testing.T) *site {
	t.Helper()
	authority, err := identitytest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, ca: &ca{Authority: authority}, reg: prometheus.NewRegistry(), roots: x509.NewCertPool(), reviews: &tokens{users: map[string]authentication.TokenReviewStatus{
		"token-of-node-1":      user(account, "agent-a", "node-1", "rollcall"),
		"token-of-node-2":      user(account, "agent-b", "node-2", "rollcall"),
		"token-wrong-audience": {Error: "token audiences are not accepted"},
		"token-no-audience":    user(account, "agent-a", "node-1"),
		"token-other-account":  user("system:serviceaccount:rollcall:default", "x", "node-1", "rollcall"),
		"token-other-ns":       user("system:serviceaccount:shop:rollcall-agent", "x", "node-1", "rollcall"),
		"token-unbound":        user(account, "", "", "rollcall"),
		"token-old-kubernetes": user(account, "agent-a", "", "rollcall"),
		"token-a-person":       user("jane", "agent-a", "node-1", "rollcall"),
	}}}
	s.roots.AddCert(authority.Cert)
	files, err := authority.Issue(identity.Peer{Role: identity.Aggregator, Name: "aggregator-1"})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	id, err := identity.Load(files, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- obs.Serve(ctx, log, obs.Server{
			Name: "enrolment", Listener: l, TLS: id.EnrolmentConfig(identity.Aggregator),
			Handler: Handler(NewTokens(s.reviews, "rollcall", "rollcall-agent"), s.ca, log, s.reg),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// attempt is a request, which a test may spoil, and how it is sent.
type attempt struct {
	key   crypto.Signer
	csr   x509.CertificateRequest
	token string
	// proofFor is what the proof is made for, the token if it is "".
	proofFor string
	// proofBy makes the proof, key if it is nil.
	proofBy crypto.Signer
	// elsewhere makes the proof on another connection.
	elsewhere bool
	body      []byte // if not nil: sent as it is
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *site) dial() *tls.Conn {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.address, identity.TrustConfig(s.roots, identity.Aggregator))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// send sends the attempt, and returns the status and the body.
func (s *site) send(a attempt) (int, []byte) {
	s.t.Helper()
	conn := s.dial()
	body := a.body
	if body == nil {
		csr, err := x509.CreateCertificateRequest(rand.Reader, &a.csr, a.key)
		if err != nil {
			s.t.Fatal(err)
		}
		on := conn
		if a.elsewhere {
			on = s.dial()
		}
		state, by, what := on.ConnectionState(), a.proofBy, a.proofFor
		if by == nil {
			by = a.key
		}
		if what == "" {
			what = a.token
		}
		proof, err := enrol.Proof(by, &state, what)
		if err != nil {
			s.t.Fatal(err)
		}
		if body, err = json.Marshal(enrol.Request{Token: a.token, CSR: csr, Proof: proof}); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.post(conn, body)
}

func (s *site) post(conn net.Conn, body []byte) (int, []byte) {
	s.t.Helper()
	web := http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "https://"+s.address+enrol.Path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := web.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func agentURI(node string) []*url.URL {
	return []*url.URL{identity.Peer{Role: identity.Agent, Name: node}.URI()}
}

func TestEnrolment(t *testing.T) {
	s := newSite(t)
	good := func() attempt {
		return attempt{key: newKey(t), csr: x509.CertificateRequest{URIs: agentURI("node-1")}, token: "token-of-node-1"}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		spoil  func(*attempt)
		want   Reason // "" is a certificate
		review bool   // the API server was asked
	}{
		"good":                  {func(*attempt) {}, "", true},
		"wrong audience":        {func(a *attempt) { a.token = "token-wrong-audience" }, WrongToken, true},
		"audience not known":    {func(a *attempt) { a.token = "token-no-audience" }, WrongToken, true},
		"expired or made up":    {func(a *attempt) { a.token = "nonsense" }, WrongToken, true},
		"no token":              {func(a *attempt) { a.token = "" }, WrongToken, false},
		"another account":       {func(a *attempt) { a.token = "token-other-account" }, WrongAccount, true},
		"another namespace":     {func(a *attempt) { a.token = "token-other-ns" }, WrongAccount, true},
		"a person":              {func(a *attempt) { a.token = "token-a-person" }, WrongAccount, true},
		"not of a pod":          {func(a *attempt) { a.token = "token-unbound" }, Unbound, true},
		"Kubernetes 1.29":       {func(a *attempt) { a.token = "token-old-kubernetes" }, Unbound, true},
		"token of another node": {func(a *attempt) { a.token = "token-of-node-2" }, WrongNode, true},
		"request for another":   {func(a *attempt) { a.csr.URIs = agentURI("node-2") }, WrongNode, true},
		"wants to aggregate": {func(a *attempt) {
			a.csr.URIs = []*url.URL{identity.Peer{Role: identity.Aggregator, Name: "node-1"}.URI()}
		}, WrongNames, false},
		"two agents":      {func(a *attempt) { a.csr.URIs = append(agentURI("node-1"), agentURI("node-2")...) }, WrongNames, false},
		"no agent":        {func(a *attempt) { a.csr.URIs = nil }, WrongNames, false},
		"a DNS name, too": {func(a *attempt) { a.csr.DNSNames = []string{"kubernetes.default"} }, WrongNames, false},
		"an address, too": {func(a *attempt) { a.csr.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }, WrongNames, false},
		"a subject":       {func(a *attempt) { a.csr.Subject = pkix.Name{CommonName: "system:admin"} }, WrongNames, false},
		"an extension, too": {func(a *attempt) {
			a.csr.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}}
		}, WrongNames, false},
		"a strange URI":        {func(a *attempt) { a.csr.URIs = []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/y"}} }, WrongNames, false},
		"not a node's name":    {func(a *attempt) { a.csr.URIs = []*url.URL{{Scheme: "rollcall", Host: "agent", Path: "/../x"}} }, WrongNames, false},
		"proof elsewhere":      {func(a *attempt) { a.elsewhere = true }, WrongProof, false},
		"proof of other token": {func(a *attempt) { a.proofFor = "token-of-node-2" }, WrongProof, false},
		"proof by other key":   {func(a *attempt) { a.proofBy = newKey(t) }, WrongProof, false},
		"an RSA key":           {func(a *attempt) { a.key, a.proofBy = rsaKey, newKey(t) }, Malformed, false},
		"not JSON":             {func(a *attempt) { a.body = []byte("certificate please") }, Malformed, false},
		"not a request":        {func(a *attempt) { a.body = []byte(`{"csr":"AAAA"}`) }, Malformed, false},
		"empty":                {func(a *attempt) { a.body = []byte{} }, Malformed, false},
		"huge":                 {func(a *attempt) { a.body = bytes.Repeat([]byte(" "), enrol.MaxBody+1) }, Malformed, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := good()
			tt.spoil(&a)
			asked := s.reviews.asked.Load()
			status, body := s.send(a)
			if got := s.reviews.asked.Load() > asked; got != tt.review {
				t.Errorf("API server asked: %v", got)
			}
			if tt.want == "" {
				var r enrol.Response
				if err := json.Unmarshal(body, &r); status != http.StatusOK || err != nil {
					t.Fatalf("status %d, %s", status, body)
				}
				cert, err := x509.ParseCertificate(r.Certificate)
				if err != nil {
					t.Fatal(err)
				}
				if peer, err := identity.PeerOf(cert); err != nil || peer.String() != "rollcall://agent/node-1" || len(cert.URIs) != 1 || cert.IsCA {
					t.Errorf("certificate of %v, %v", peer, err)
				}
				if life := time.Until(cert.NotAfter); life > enrol.Lifetime || life < enrol.Lifetime-time.Minute {
					t.Errorf("it lives %v", life)
				}
				return
			}
			var e enrol.Error
			if err := json.Unmarshal(body, &e); err != nil || e.Reason != string(tt.want) || e.Message == "" || status != statuses()[tt.want] {
				t.Errorf("status %d, %s, want %s", status, body, tt.want)
			}
			if a.token != "" && strings.Contains(string(body), a.token) {
				t.Errorf("the answer has the token: %s", body)
			}
		})
	}
	counted := testutil.CollectAndCount(s.reg, "rollcall_enrolments_total")
	if counted != len(statuses())+1 {
		t.Errorf("%d results are counted", counted)
	}
}

// Strangers who say nothing, or much at once, hold up nobody else.
func TestStrangersDoNotBlock(t *testing.T) {
	s := newSite(t)
	idle := []byte("POST " + enrol.Path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	for range 3 * inFlight {
		if _, err := s.dial().Write(idle); err != nil {
			t.Fatal(err)
		}
	}
	good := func() attempt {
		return attempt{key: newKey(t), csr: x509.CertificateRequest{URIs: agentURI("node-1")}, token: "token-of-node-1"}
	}
	if status, body := s.send(good()); status != http.StatusOK {
		t.Errorf("beside idle connections: %d %s", status, body)
	}
	// One address has two reviews at a time, and no more.
	s.reviews.waiting, s.reviews.wait = make(chan struct{}, perAddress), make(chan struct{})
	var answers sync.WaitGroup
	for range perAddress {
		answers.Go(func() {
			if status, body := s.send(good()); status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
		})
		<-s.reviews.waiting
	}
	if status, body := s.send(good()); status != http.StatusServiceUnavailable || !strings.Contains(string(body), string(Busy)) {
		t.Errorf("a third one: %d %s", status, body)
	}
	close(s.reviews.wait)
	answers.Wait()
}

// Whoever has recorded a whole request cannot use it a second time.
func TestReplay(t *testing.T) {
	s := newSite(t)
	key, conn := newKey(t), s.dial()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: agentURI("node-1")}, key)
	if err != nil {
		t.Fatal(err)
	}
	state := conn.ConnectionState()
	proof, err := enrol.Proof(key, &state, "token-of-node-1")
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(enrol.Request{Token: "token-of-node-1", CSR: csr, Proof: proof})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := s.post(conn, body); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	if status, answer := s.post(s.dial(), body); status != http.StatusForbidden || !strings.Contains(string(answer), string(WrongProof)) {
		t.Errorf("%d %s", status, answer)
	}
}

// client is an agent's, with files that a test can change.
func (s *site) client(node string) (*enrol.Client, *identity.Source, enrol.Config) {
	s.t.Helper()
	dir := s.t.TempDir()
	cfg := enrol.Config{Address: s.address, TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca.crt")}
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	id := identity.New(identity.Peer{Role: identity.Agent, Name: node}, log, reg)
	c, err := enrol.NewClient(cfg, id, log, reg)
	if err != nil {
		s.t.Fatal(err)
	}
	return c, id, cfg
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// run runs the client until the test ends.
func run(t *testing.T, c *enrol.Client) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

// await waits until the client says what is wrong.
func await(t *testing.T, c *enrol.Client, want string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for c.Err() == nil || !strings.Contains(c.Err().Error(), want) {
		select {
		case <-deadline:
			t.Fatalf("%v, want %q", c.Err(), want)
		case <-time.After(time.Millisecond):
		}
	}
}

// What an agent needs comes after it, piece by piece.
func TestAgentWaits(t *testing.T) {
	s := newSite(t)
	ca := string(identity.EncodeCertificate(s.ca.Cert))
	for name, tt := range map[string]struct {
		before func(cfg enrol.Config)
		want   string
	}{
		"no CA":       {func(enrol.Config) {}, "wait for an aggregator to publish its CA"},
		"CA empty":    {func(cfg enrol.Config) { write(t, cfg.CAFile, "") }, "no CA certificate"},
		"no token":    {func(cfg enrol.Config) { write(t, cfg.CAFile, ca) }, "token: no such file"},
		"token empty": {func(cfg enrol.Config) { write(t, cfg.CAFile, ca); write(t, cfg.TokenFile, "\n") }, "is empty"},
		"refused":     {func(cfg enrol.Config) { write(t, cfg.CAFile, ca); write(t, cfg.TokenFile, "token-of-node-2") }, "wrong_node"},
		"API server": {func(cfg enrol.Config) {
			write(t, cfg.CAFile, ca)
			write(t, cfg.TokenFile, "token-of-node-1")
			s.reviews.down.Store(true)
		}, "API server review"},
		"aggregator's CA": {func(cfg enrol.Config) {
			write(t, cfg.CAFile, ca)
			write(t, cfg.TokenFile, "token-of-node-1")
			s.ca.absent.Store(true)
		}, "no CA yet"},
	} {
		t.Run(name, func(t *testing.T) {
			s.reviews.down.Store(false)
			s.ca.absent.Store(false)
			c, id, cfg := s.client("node-1")
			tt.before(cfg)
			run(t, c)
			await(t, c, tt.want)
			s.reviews.down.Store(false)
			s.ca.absent.Store(false)
			write(t, cfg.CAFile, ca)
			write(t, cfg.TokenFile, "token-of-node-1\n")
			select {
			case <-id.Ready():
			case <-time.After(time.Minute):
				t.Fatal(c.Err())
			}
		})
	}
}

// An agent does not give its token to whoever answers.
func TestAgentTrustsAggregatorsOnly(t *testing.T) {
	s := newSite(t)
	other, err := identitytest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		ca   *identitytest.Authority
		peer identity.Peer
		want string
	}{
		"another CA": {other, identity.Peer{Role: identity.Aggregator, Name: "aggregator-1"}, "untrusted"},
		"an agent":   {s.ca.Authority, identity.Peer{Role: identity.Agent, Name: "node-2"}, "wrong_role"},
	} {
		t.Run(name, func(t *testing.T) {
			cert, err := tt.ca.IssueInMemory(tt.peer)
			if err != nil {
				t.Fatal(err)
			}
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
			if err != nil {
				t.Fatal(err)
			}
			read := make(chan string, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					read <- ""
					return
				}
				got, _ := io.ReadAll(conn)
				_ = conn.Close()
				read <- string(got)
			}()
			imposed := *s
			imposed.address = l.Addr().String()
			c, id, cfg := imposed.client("node-1")
			write(t, cfg.CAFile, string(identity.EncodeCertificate(s.ca.Cert)))
			write(t, cfg.TokenFile, "token-of-node-1")
			run(t, c)
			if got := <-read; strings.Contains(got, "token-of-node-1") {
				t.Errorf("it was told %q", got)
			}
			await(t, c, tt.want)
			_ = l.Close()
			select {
			case <-id.Ready():
				t.Error("a certificate")
			default:
			}
		})
	}
}
