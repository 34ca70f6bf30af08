package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// accounts are a reader of one namespace, and somebody with no rights.
const accounts = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: usage}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: nobody, namespace: usage}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: usage}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: reader, namespace: usage}]
`

// Statuses of those whom nobody knows, and of those who may not. One without a name is
// anonymous, who has no rights either.
var (
	unknown   = []int{http.StatusUnauthorized}
	forbidden = []int{http.StatusForbidden}
	anonymous = []int{http.StatusUnauthorized, http.StatusForbidden}
	allowed   = []int{http.StatusOK}
)

// whoMay asks as everybody: through the API server, and directly, past it. In both
// cases the API server is the judge.
func (u *usage) whoMay() {
	u.kubectl([]byte(accounts), "apply", "-f", "-")
	aggregator := u.aggregator()
	direct := "https://" + aggregator.Status.PodIP + ":8443"
	const own, all, nodes = groupVersion + "/namespaces/usage/pods", groupVersion + "/pods", groupVersion + "/nodes"
	reader, nobody := u.token("reader", ""), u.token("nobody", "")
	expired := u.forged(reader, func(claims map[string]any) { claims["exp"] = time.Now().Add(-time.Minute).Unix() })
	for _, tt := range []struct {
		who, token, path string
		want             []int
	}{
		{"a reader", reader, own, allowed},
		{"a reader", reader, own + "/cpu", allowed},
		{"a reader, of all namespaces", reader, all, forbidden},
		{"a reader, of nodes", reader, nodes, forbidden},
		{"without rights", nobody, own, forbidden},
		{"without a token", "", own, anonymous},
		{"an expired token", expired, own, unknown},
		{"a token for somebody else", u.token("reader", "rollcall"), own, unknown},
		{"a broken signature", reader[:len(reader)-8] + "AAAAAAAA", own, unknown},
		{"an agent", u.mounted(u.agent(u.fleet.other(u.away())), apiToken), own, forbidden},
		{"a reader, of what the port has besides", reader, "/metrics", forbidden},
	} {
		for _, host := range []string{u.c.REST.Host, direct} {
			header := http.Header{}
			if tt.token != "" {
				header.Set("Authorization", "Bearer "+tt.token)
			}
			u.judged(tt.who, host+tt.path, u.caller(nil), header, tt.want)
		}
	}

	// Who comes with the names of others in headers: only the API server may.
	somebody := http.Header{"X-Remote-User": {"alice"}}
	master := http.Header{"X-Remote-User": {"admin"}, "X-Remote-Group": {"system:masters"}}
	made, err := tls.X509KeyPair(u.certificate("front-proxy-client", ""))
	if err != nil {
		u.Fatal(err)
	}
	for _, tt := range []struct {
		who    string
		client *tls.Certificate
		header http.Header
		want   []int
	}{
		{"nobody, with headers", nil, master, anonymous},
		{"a node, with headers", u.pair("node-1"), master, forbidden},
		{"a CA of his own, with headers", &made, master, anonymous},
		{"another client of the front proxy's CA, with headers", u.other("somebody-else"), master, anonymous},
		{"the front proxy, for alice", u.pair("front-proxy-client"), somebody, forbidden},
		{"the front proxy, for nobody", u.pair("front-proxy-client"), nil, anonymous},
		{"the front proxy, for a master", u.pair("front-proxy-client"), master, allowed},
		{"an admin", u.pair("admin"), nil, allowed},
	} {
		u.judged(tt.who, direct+own, u.caller(tt.client), tt.header, tt.want)
	}
}

// judged sends a request, and checks the answer's status.
func (u *usage) judged(who, url string, client *http.Client, header http.Header, want []int) {
	u.Helper()
	req, err := http.NewRequestWithContext(u.Context(), http.MethodGet, url, nil)
	if err != nil {
		u.Fatal(err)
	}
	if header != nil {
		req.Header = header.Clone()
	}
	resp, err := client.Do(req)
	if err != nil {
		u.Errorf("%s: %v", who, err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if !slices.Contains(want, resp.StatusCode) {
		u.Errorf("%s: %s: %d, want %v: %.300s", who, url, resp.StatusCode, want, body)
	}
}

// token is a new one of a service account, for the API server or for an audience.
func (u *usage) token(account, audience string) string {
	u.Helper()
	r := &authenticationv1.TokenRequest{}
	if audience != "" {
		r.Spec.Audiences = []string{audience}
	}
	t, err := u.c.Client.CoreV1().ServiceAccounts(usageNamespace).CreateToken(u.Context(), account, r, metav1.CreateOptions{})
	if err != nil {
		u.Fatal(err)
	}
	return t.Status.Token
}

// caller is a client that verifies the API server and aggregators, and shows a
// certificate, or none.
func (u *usage) caller(show *tls.Certificate) *http.Client {
	u.Helper()
	s, err := u.apiService(u.Context())
	if err != nil {
		u.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(u.pki("ca.crt")))
	ours := x509.NewCertPool()
	ours.AppendCertsFromPEM(s.Spec.CABundle)
	config := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: "kubernetes.default.svc"})
		if err != nil { // then it is an aggregator, which has its CA from elsewhere
			rest := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				rest.AddCert(c)
			}
			_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: ours, Intermediates: rest, DNSName: serviceOfRollcall + "." + rollcall + ".svc"})
		}
		return err
	}}
	if show != nil {
		config.Certificates = []tls.Certificate{*show}
	}
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// pki is a file of the cluster's.
func (u *usage) pki(name string) string {
	u.Helper()
	return u.readFile(filepath.Join(filepath.Dir(u.c.Kubeconfig), "pki", name))
}

// pair is a client's certificate of the cluster's.
func (u *usage) pair(name string) *tls.Certificate {
	u.Helper()
	pair, err := tls.X509KeyPair([]byte(u.pki(name+".crt")), []byte(u.pki(name+".key")))
	if err != nil {
		u.Fatal(err)
	}
	return &pair
}

// other is a client's certificate of the front proxy's CA, with a name that the API
// server does not list.
func (u *usage) other(name string) *tls.Certificate {
	u.Helper()
	pair, err := tls.X509KeyPair(u.certificate(name, "front-proxy-ca"))
	if err != nil {
		u.Fatal(err)
	}
	return &pair
}

// certificate makes a client's, by one of the cluster's CAs, or by itself.
func (u *usage) certificate(name, ca string) (cert, key []byte) {
	u.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		u.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	parent, by := template, any(own)
	if ca != "" {
		pair := u.pair(ca)
		parent, by = pair.Leaf, pair.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, own.Public(), by)
	if err != nil {
		u.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		u.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}
