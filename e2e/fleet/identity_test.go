package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
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

// Whoever answers at a node's address with another node's certificate is not
// believed: the node is missing as unauthorized, and the others are there.
func TestImpostorAtANodesAddress(t *testing.T) {
	r := startFleet(t, 45, Config{Nodes: 3, Pods: 5, Resolution: second})
	victim, liar := r.nodes[1], r.nodes[2]
	r.order("/nodes/node-2/agent?action=stop")

	// The gossip key is all that it takes to be in the roster as node-2.
	member := victim.cfg.Roster
	member.Name, member.Role, member.PeerPort = victim.name, identity.Agent, 9810
	gossip, err := roster.Start(t.Context(), member, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := gossip.Kill(); err != nil {
			t.Error(err)
		}
	}()
	cert, err := tls.LoadX509KeyPair(liar.cfg.Identity.Cert, liar.cfg.Identity.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", victim.cfg.PeerListen)
	if err != nil {
		t.Fatal(err)
	}
	impostor := httptest.NewUnstartedServer(http.NotFoundHandler())
	if err := impostor.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	impostor.Listener = l
	impostor.Config.ErrorLog = log.New(io.Discard, "", 0)
	impostor.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	impostor.StartTLS()
	defer impostor.Close()

	r.eventually("node-2 is unauthorized", func() bool {
		_, a := ask(t, r.url()+"/api/v1/node?window=10s")
		return a.Coverage.outcome("node-2") == "unauthorized" && a.Coverage.Answered == 2
	})
	if metrics := body(t, "http://"+r.aggregators[0].cfg.MetricsListen+"/metrics"); !strings.Contains(metrics, `rollcall_identity_refused_total{reason="wrong_name"}`) {
		t.Error("not counted")
	}
}
