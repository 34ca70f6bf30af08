package resource

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"log/slog"
	"math/big"
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
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

const serviceName = "rollcall-metrics-api.rollcall.svc"

// A ca signs certificates of a test.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T) ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), NotBefore: time.Now().Add(-time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ca{cert, key}
}

func (c ca) pem() string { return string(identity.EncodeCertificate(c.cert)) }

// client is the certificate of a client.
func (c ca) client(t *testing.T, name string, groups ...string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), NotBefore: time.Now().Add(-time.Hour),
		Subject: pkix.Name{CommonName: name, Organization: groups}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, c.cert, key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A cluster stands in for the API server: autoscaler may list, others may not, and
// of tokens it knows one, autoscaler's.
type cluster struct {
	proxy, clients ca
	client         kubernetes.Interface
	away           atomic.Bool
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{proxy: newCA(t), clients: newCA(t)}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	var err error
	if c.client, err = kubernetes.NewForConfig(&rest.Config{Host: srv.URL, QPS: -1}); err != nil {
		t.Fatal(err)
	}
	return c
}

var status = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch path := r.URL.Path; {
	case c.away.Load():
		answer(w, http.StatusServiceUnavailable, &metav1.Status{TypeMeta: status, Status: metav1.StatusFailure, Message: "the API server is away", Reason: metav1.StatusReasonServiceUnavailable})
	case path == "/api/v1/namespaces/kube-system/configmaps" && q.Get("sendInitialEvents") != "":
		answer(w, http.StatusUnprocessableEntity, &metav1.Status{TypeMeta: status, Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid})
	case path == "/api/v1/namespaces/kube-system/configmaps" && q.Get("watch") != "":
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case path == "/api/v1/namespaces/kube-system/configmaps":
		answer(w, http.StatusOK, &core.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: []core.ConfigMap{*c.trust()}})
	case path == "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication":
		answer(w, http.StatusOK, c.trust())
	case strings.HasSuffix(path, "/tokenreviews"):
		var review authentication.TokenReview
		_ = json.NewDecoder(r.Body).Decode(&review)
		if review.Status.Authenticated = review.Spec.Token == "good"; review.Status.Authenticated {
			review.Status.User.Username = "autoscaler"
		}
		answer(w, http.StatusCreated, &review)
	case strings.HasSuffix(path, "/subjectaccessreviews"):
		var review authorization.SubjectAccessReview
		_ = json.NewDecoder(r.Body).Decode(&review)
		of := review.Spec.ResourceAttributes
		review.Status.Allowed = review.Spec.User == "autoscaler" && of != nil && of.Group == "metrics.k8s.io" && of.Verb == "list"
		answer(w, http.StatusCreated, &review)
	default:
		http.NotFound(w, r)
	}
}

func (c *cluster) trust() *core.ConfigMap {
	return &core.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: trustNamespace, Name: trustConfigMap, ResourceVersion: "1"},
		Data: map[string]string{
			"client-ca-file": c.clients.pem(), "requestheader-client-ca-file": c.proxy.pem(),
			"requestheader-username-headers": `["X-Remote-User"]`, "requestheader-group-headers": `["X-Remote-Group"]`,
			"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`, "requestheader-allowed-names": `["front-proxy-client"]`,
		},
	}
}

func answer(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object)
}

// A served is a server that runs.
type served struct {
	*Server
	address   string
	authority *identity.Authority
	identity  *identity.Source
	stop      func()
}

func run(t *testing.T, c *cluster, audit *Audit) *served {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s := &served{address: listener.Addr().String()}
	if s.authority, err = identity.NewAuthority("test", time.Now().Add(-time.Hour), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.identity = identity.New(identity.Peer{Role: identity.Aggregator, Name: "a"}, log, prometheus.NewRegistry())
	f := newFleet("shop/cart")
	newest := snapshot.New(resolution, f, f, f, prometheus.NewRegistry())
	s.Server = New(Config{Listener: listener, Identity: s.identity, Client: c.client, Audit: audit, Version: "dev"}, Storage(&Fleet{
		Snapshot: newest, Nodes: f, Pods: apiPods{f}, Joined: func() error { return nil },
	}, prometheus.NewRegistry()), log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		newest.Close()
	}
	return s
}

// install gives the server another certificate.
func (s *served) install(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := s.authority.Issue(s.identity.Self(), key.Public(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), func(c *x509.Certificate) {
		c.DNSNames = []string{serviceName}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.identity.Install(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, x509.NewCertPool()); err != nil {
		t.Fatal(err)
	}
	return cert
}

// ask asks as the API server does, with a certificate or nil, and headers.
func (s *served) ask(t *testing.T, path string, cert *tls.Certificate, headers ...string) (int, *x509.Certificate) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.authority.Cert)
	cfg := &tls.Config{RootCAs: roots, ServerName: serviceName}
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.TLS.PeerCertificates[0]
}

const podsPath = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"

func TestWhoMayAsk(t *testing.T) {
	c := newCluster(t)
	s := run(t, c, nil)
	defer s.stop()
	s.install(t)
	proxy := c.proxy.client(t, "front-proxy-client")
	// At once: the first one is nobody's before his time.
	if code, _ := s.ask(t, podsPath, proxy, "X-Remote-User: autoscaler"); code != http.StatusOK {
		t.Errorf("the first request: %d", code)
	}
	for name, q := range map[string]struct {
		cert    *tls.Certificate
		headers []string
		want    int
	}{
		"the API server for one who may":         {proxy, []string{"X-Remote-User: autoscaler"}, http.StatusOK},
		"the API server for one who may not":     {proxy, []string{"X-Remote-User: somebody"}, http.StatusForbidden},
		"the API server for an administrator":    {proxy, []string{"X-Remote-User: root", "X-Remote-Group: system:masters"}, http.StatusOK},
		"headers without a certificate":          {nil, []string{"X-Remote-User: autoscaler", "X-Remote-Group: system:masters"}, http.StatusForbidden},
		"headers with another name":              {c.proxy.client(t, "kubelet"), []string{"X-Remote-User: autoscaler"}, http.StatusUnauthorized},
		"headers with a client's certificate":    {c.clients.client(t, "front-proxy-client"), []string{"X-Remote-User: autoscaler"}, http.StatusForbidden},
		"headers with a certificate of somebody": {newCA(t).client(t, "front-proxy-client"), []string{"X-Remote-User: autoscaler"}, http.StatusUnauthorized},
		"nobody":                                 {nil, nil, http.StatusForbidden},
		"a client's certificate":                 {c.clients.client(t, "autoscaler"), nil, http.StatusOK},
		"a token":                                {nil, []string{"Authorization: Bearer good"}, http.StatusOK},
		"a token that is not good":               {nil, []string{"Authorization: Bearer bad"}, http.StatusUnauthorized},
	} {
		if code, _ := s.ask(t, podsPath, q.cert, q.headers...); code != q.want {
			t.Errorf("%s: %d, want %d", name, code, q.want)
		}
	}
	for path, want := range map[string]int{"/readyz": http.StatusOK, "/livez": http.StatusOK, "/metrics": http.StatusForbidden, "/debug/pprof/": http.StatusForbidden} {
		if code, _ := s.ask(t, path, nil); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// Another certificate is used from the next connection on.
func TestCertificateChanges(t *testing.T) {
	s := run(t, newCluster(t), nil)
	defer s.stop()
	for range 3 {
		want := s.install(t)
		for range 200 {
			_, got := s.ask(t, "/livez", nil)
			if got.Equal(want) {
				want = nil
				break
			}
		}
		if want != nil {
			t.Fatal("the old certificate is still in use")
		}
	}
}

// The server begins when the API server has said whom to believe, not before.
func TestStartsWithoutTheAPIServer(t *testing.T) {
	c := newCluster(t)
	c.away.Store(true)
	s := run(t, c, nil)
	defer s.stop()
	s.install(t)
	for !strings.Contains(s.Err().Error(), "the API server is away") {
		<-time.After(time.Millisecond)
	}
	c.away.Store(false)
	if code, _ := s.ask(t, podsPath, c.proxy.client(t, "front-proxy-client"), "X-Remote-User: autoscaler"); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

// What is logged of requests is what the policy says: who, and not what was said.
func TestAudit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(policy string) {
		if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, wrong := range []string{"", "kind: Policy", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Loud}]"} {
		write(wrong)
		if _, err := LoadAudit(file, nil); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("policy %q: %v", wrong, err)
		}
	}
	write("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, nonResourceURLs: [/livez]}, {level: Metadata}]")
	var events strings.Builder
	audit, err := LoadAudit(file, &events)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t)
	s := run(t, c, audit)
	s.install(t)
	s.ask(t, "/livez", nil)
	s.ask(t, podsPath, c.proxy.client(t, "front-proxy-client"), "X-Remote-User: somebody")
	s.stop()
	if got := strings.Split(strings.TrimSpace(events.String()), "\n"); len(got) != 1 || !strings.Contains(got[0], `"username":"somebody"`) || !strings.Contains(got[0], `"code":403`) {
		t.Errorf("events %q", got)
	}
	if err := s.Err(); err == nil {
		t.Error("a server that has stopped says that it serves")
	}
}
