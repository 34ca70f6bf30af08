package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// The peer API answers aggregators of this fleet and nobody else; who is
// refused is counted.
func TestPeerAPIRefusesStrangers(t *testing.T) {
	r := startFleet(t, 44, Config{Nodes: 2, Pods: 5, Resolution: second})
	other, err := identitytest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(a *identitytest.Authority, p identity.Peer, opts ...identitytest.Option) identity.Files {
		f, err := a.Issue(p, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	stranger := identity.Peer{Role: identity.Aggregator, Name: "stranger"}
	cases := []struct {
		name   string
		files  identity.Files
		reason string // "" is accepted
	}{
		{"an aggregator", issue(r.authority, stranger), ""},
		{"no certificate", identity.Files{}, "no_certificate"},
		{"another node's agent", issue(r.authority, identity.Peer{Role: identity.Agent, Name: "node-2"}), "wrong_role"},
		{"an aggregator of another CA", issue(other, stranger), "untrusted"},
		{"an expired aggregator", issue(r.authority, identity.Peer{Role: identity.Aggregator, Name: "old"}, identitytest.Expired()), "expired"},
	}
	n := r.nodes[0]
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := askPeer(t, r.Fleet, "https://"+n.cfg.PeerListen+wire.ChunksPath+"?from=0&to=1", c.files)
			if (err == nil) != (c.reason == "") {
				t.Fatalf("asking: %v", err)
			}
			if c.reason == "" {
				return
			}
			if !identity.Unauthorized(err) {
				t.Errorf("%v does not count as unauthorized", err)
			}
			metrics := body(t, "http://"+n.cfg.MetricsListen+"/metrics")
			if !strings.Contains(metrics, `rollcall_identity_refused_total{reason="`+c.reason+`"} 1`) {
				t.Errorf("not counted as %s", c.reason)
			}
		})
	}
}

// askPeer asks an agent as whoever the files say.
func askPeer(t *testing.T, f *Fleet, url string, files identity.Files) error {
	t.Helper()
	ca, err := os.ReadFile(f.authority.CA())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	// What is tested is whom the agent accepts; its own certificate has no IP.
	cfg := &tls.Config{RootCAs: pool, InsecureSkipVerify: true}
	if files.Cert != "" {
		cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			t.Fatal(err)
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	web := http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}
	resp, err := web.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// An agent that shows another node's certificate is not believed: the node is
// missing as unauthorized, and the others are there.
func TestAgentWithAnotherNodesCertificate(t *testing.T) {
	r := startFleet(t, 45, Config{Nodes: 3, Pods: 5, Resolution: second})
	victim, liar := r.nodes[1], r.nodes[2]
	// The agent re-reads its files at handshakes: node-3's identity moves in.
	for from, to := range map[string]string{liar.cfg.Identity.Cert: victim.cfg.Identity.Cert, liar.cfg.Identity.Key: victim.cfg.Identity.Key} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.eventually("node-2 is unauthorized", func() bool {
		// Connections that are open keep their certificate: open new ones.
		r.order("/aggregators/aggregator-1?action=stop")
		r.order("/aggregators/aggregator-1?action=start")
		r.eventually("the aggregator asks", func() bool {
			status, a := ask(t, r.url()+"/api/v1/node?window=10s")
			return status == 200 && a.Coverage.Answered >= 2
		})
		_, a := ask(t, r.url()+"/api/v1/node?window=10s")
		return a.Coverage.outcome("node-2") == "unauthorized" && a.Coverage.Answered == 2
	})
}
