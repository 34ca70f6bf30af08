package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/stranger"
)

const apiToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// client trusts the cluster's CA.
func (f *fleet) client() *http.Client {
	f.Helper()
	ca, err := os.ReadFile(filepath.Join(filepath.Dir(f.c.Kubeconfig), "pki", "ca.crt"))
	if err != nil {
		f.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
}

// rights uses the tokens that lie in the pods for what they should not be good for.
func (f *fleet) rights() {
	api := f.c.REST.Host
	agent := f.agent(f.c.Nodes[0])
	kubelet := fmt.Sprintf("https://%s:10250", f.c.Nodes[0].IP)
	aggregator, err := f.pods(f.Context(), aggregators)
	if err != nil {
		f.Fatal(err)
	}
	ofAgent, ofAggregator := f.mounted(agent, apiToken), f.mounted(aggregator[0], apiToken)
	enrolment := f.mounted(agent, "/var/run/rollcall/token")
	for _, tt := range []struct {
		who, token, url string
		want            int
	}{
		{"agent", ofAgent, kubelet + "/stats/summary", 200},
		{"agent", ofAgent, kubelet + "/metrics", 403},
		{"agent", ofAgent, kubelet + "/metrics/resource", 403},
		{"agent", ofAgent, kubelet + "/pods", 403},
		{"agent", ofAgent, api + "/api/v1/pods", 403},
		{"agent", ofAgent, api + "/api/v1/nodes", 403},
		{"agent", ofAgent, api + "/api/v1/namespaces/rollcall/secrets", 403},
		{"agent", ofAgent, api + "/api/v1/namespaces/rollcall/secrets/rollcall-gossip", 403},
		{"agent", ofAgent, api + "/api/v1/namespaces/rollcall/configmaps/rollcall-trust", 403},
		{"agent, to enrol", enrolment, api + "/api", 401},
		{"agent, to enrol", enrolment, kubelet + "/stats/summary", 401},
		{"aggregator", ofAggregator, api + "/api/v1/nodes", 200},
		{"aggregator", ofAggregator, api + "/api/v1/namespaces/rollcall/secrets/rollcall-authority", 200},
		{"aggregator", ofAggregator, api + "/api/v1/namespaces/rollcall/secrets", 403},
		{"aggregator", ofAggregator, api + "/api/v1/namespaces/kube-system/secrets", 403},
		{"aggregator", ofAggregator, api + "/api/v1/pods", 403},
		{"aggregator", ofAggregator, kubelet + "/stats/summary", 403},
		{"aggregator", ofAggregator, kubelet + "/metrics", 403},
	} {
		if status, body, err := send(f.Context(), f.client(), tt.url, tt.token); err != nil || status != tt.want {
			f.Errorf("%s: %s: %d, %v, want %d: %.200s", tt.who, tt.url, status, err, tt.want, body)
		}
	}
}

// intrusions is what the intruder's pod says.
type intrusions struct {
	Enrolment, Peer, Gossip map[string]string // how each attempt ended
	Got                     []string          // what it should not have got
}

// intruder is a pod without any identity of Rollcall's. It has all that a pod can
// have: the CA's certificate, which is no secret, a network without policies, and
// a token of its own for our audience.
func (f *fleet) intruder() {
	ca := f.kubectl(nil, "get", "configmap", "--namespace", rollcall, "rollcall-trust", "--output", "jsonpath={.data.ca\\.crt}")
	f.kubectl(nil, "create", "configmap", "--namespace", "shop", "stolen", "--from-literal=ca.crt="+ca)
	agent := f.agent(f.c.Nodes[0])
	pods, err := f.pods(f.Context(), aggregators)
	if err != nil {
		f.Fatal(err)
	}
	aggregator := pods[0]
	counters := map[string]corev1.Pod{
		`rollcall_identity_refused_total{reason="no_certificate"}`: agent,
		`rollcall_identity_refused_total{reason="untrusted"}`:      agent,
		`rollcall_enrolments_total{result="wrong_account"}`:        aggregator,
		`rollcall_enrolments_total{result="wrong_token"}`:          aggregator,
		`rollcall_roster_refused_total{reason="no_key"}`:           aggregator,
		`rollcall_roster_refused_total{reason="wrong_label"}`:      aggregator,
	}
	before := map[string]float64{}
	for line, pod := range counters {
		before[line] = f.metric(pod, line)
	}
	manifest := strings.NewReplacer("AGENT", agent.Status.PodIP, "AGGREGATOR", aggregator.Status.PodIP).Replace(f.readFile("testdata/intruder.yaml"))
	f.kubectl([]byte(manifest), "apply", "-f", "-")
	f.kubectl(nil, "wait", "--namespace", "shop", "--for=jsonpath={.status.phase}=Succeeded", "pod/intruder", "--timeout=2m")
	log := f.kubectl(nil, "logs", "--namespace", "shop", "intruder")
	var got intrusions
	if err := json.Unmarshal([]byte(log), &got); err != nil {
		f.Fatalf("%v: %s", err, log)
	}
	f.Logf("the intruder says: %s", log)
	for _, what := range got.Got {
		f.Errorf("the intruder got %s", what)
	}
	if len(got.Enrolment) == 0 || len(got.Gossip) == 0 || len(got.Peer) == 0 {
		f.Errorf("it did not try everything: %+v", got)
	}
	for line, pod := range counters {
		if now := f.metric(pod, line); now <= before[line] {
			f.Errorf("%s of %s is %v, as before", line, pod.Name, now)
		}
	}
	if a, err := f.ask(f.Context(), f.c.Nodes[0], "/node?window=1m"); err != nil || !a.Coverage.Complete {
		f.Errorf("after it: %+v, %v", a.Coverage, err)
	}
}

// enrolment shows tokens to an aggregator that the real API server has to judge.
func (f *fleet) enrolment() {
	one, two := f.c.Nodes[0], f.c.Nodes[1]
	pods, err := f.pods(f.Context(), aggregators)
	if err != nil {
		f.Fatal(err)
	}
	at := pods[0].Status.PodIP + ":9810"
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(f.mounted(f.agent(one), "/var/run/rollcall/ca.crt")))
	issue := func(account, audience string, bound *corev1.Pod) string {
		f.Helper()
		r := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
		if bound != nil {
			r.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: bound.Name, UID: bound.UID}
		}
		t, err := f.c.Client.CoreV1().ServiceAccounts(rollcall).CreateToken(f.Context(), account, r, metav1.CreateOptions{})
		if err != nil {
			f.Fatal(err)
		}
		return t.Status.Token
	}
	agentOne, agentTwo := f.agent(one), f.agent(two)
	good := f.mounted(agentOne, "/var/run/rollcall/token")
	for _, tt := range []struct{ name, token, want string }{
		{"the pod's own", good, ""},
		{"for another audience", f.mounted(agentOne, apiToken), "wrong_token"},
		{"of an agent on another node", f.mounted(agentTwo, "/var/run/rollcall/token"), "wrong_node"},
		{"of an aggregator", issue("rollcall-aggregator", "rollcall", &pods[0]), "wrong_account"},
		{"of no pod", issue("rollcall-agent", "rollcall", nil), "unbound"},
		{"expired", f.forged(good, func(claims map[string]any) { claims["exp"] = time.Now().Add(-time.Minute).Unix() }), "wrong_token"},
		{"of a pod that is gone", f.forged(good, func(claims map[string]any) {
			claims["kubernetes.io"].(map[string]any)["pod"] = map[string]string{"name": "gone", "uid": "9d0c0a1e-1111-4222-8333-444455556666"}
		}), "wrong_token"},
		{"with a broken signature", good[:len(good)-8] + "AAAAAAAA", "wrong_token"},
	} {
		got, err := stranger.Enrol(f.Context(), two.DialContext, at, roots, "node-1", tt.token)
		if err != nil {
			f.Errorf("a token %s: %v", tt.name, err)
		} else if got != tt.want {
			f.Errorf("a token %s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// forged is a token with other claims, signed with the cluster's own key: all
// that is wrong with it is what change did.
func (f *fleet) forged(token string, change func(claims map[string]any)) string {
	f.Helper()
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		f.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		f.Fatal(err)
	}
	change(claims)
	if text, err = json.Marshal(claims); err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode([]byte(f.readFile(filepath.Join(filepath.Dir(f.c.Kubeconfig), "pki", "service-accounts.key"))))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		f.Fatal(err)
	}
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(text)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		f.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...) // ES256
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}
