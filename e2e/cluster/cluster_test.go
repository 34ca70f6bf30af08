package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
)

const namespace = "test"

// TestCluster checks what the tests of Rollcall build upon.
func TestCluster(t *testing.T) {
	c := startCluster(t, cluster.Config{Nodes: 3}, namespace)
	e := &env{T: t, c: c}
	e.deploy()
	for _, sub := range []struct {
		name string
		run  func(*env)
	}{
		{"DNS", (*env).dns},
		{"Service", (*env).service},
		{"pods ask", func(e *env) { e.answered(e.c.Nodes, "service", "headless", "kubernetes", "kubelet") }},
		{"kubelet", (*env).kubelet},
		{"restricted", (*env).restricted},
		{"kill a container", (*env).killContainer},
		{"API server away", (*env).apiServer},
		{"kubelet away", (*env).kubeletAway},
		{"cut off", (*env).cutOff},
		{"power cut", (*env).powerCut},
	} {
		if !t.Run(sub.name, func(t *testing.T) { sub.run(&env{t, c, e.ips}) }) {
			break // what comes after would fail as well
		}
	}
}

// TestClusterAgain checks that a sandbox takes one cluster after the other.
func TestClusterAgain(t *testing.T) {
	for _, nodes := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			c := startCluster(t, cluster.Config{Nodes: nodes})
			list, err := c.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
			if err != nil || len(list.Items) != nodes {
				t.Errorf("%d nodes, %v", len(list.Items), err)
			}
		})
	}
}

func (e *env) kubelet() {
	ca, err := os.ReadFile(filepath.Join(filepath.Dir(e.c.Kubeconfig), "pki", "ca.crt"))
	if err != nil {
		e.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	token, err := e.c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(e.Context(), "stats", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	for _, tt := range []struct {
		path, token string
		want        int
	}{
		{"/stats/summary", token.Status.Token, http.StatusOK},
		{"/metrics/resource", token.Status.Token, http.StatusForbidden},
		{"/stats/summary", "", http.StatusUnauthorized},
	} {
		for _, n := range e.c.Nodes {
			// By address and by name: clusters differ in what their kubelets'
			// certificates carry.
			for _, name := range []string{"", n.Name} {
				client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}}}
				req, err := http.NewRequestWithContext(e.Context(), http.MethodGet, fmt.Sprintf("https://%v:10250%s", n.IP, tt.path), nil)
				if err != nil {
					e.Fatal(err)
				}
				if tt.token != "" {
					req.Header.Set("Authorization", "Bearer "+tt.token)
				}
				resp, err := client.Do(req)
				if err != nil {
					e.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != tt.want {
					e.Errorf("%s of %s: %s, want %d: %.200s", tt.path, n.Name, resp.Status, tt.want, body)
				}
				client.CloseIdleConnections()
			}
		}
	}
}
