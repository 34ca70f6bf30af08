package identity_test

import (
	"crypto/x509"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

func TestLoadRefuses(t *testing.T) {
	ca := authority(t)
	good := issue(t, ca, agent)
	other := issue(t, ca, aggregator)
	tests := map[string]struct {
		files identity.Files
		err   string
	}{
		"no certificate":   {identity.Files{Cert: "nowhere.pem", Key: good.Key, CA: good.CA}, "nowhere.pem"},
		"no key":           {identity.Files{Cert: good.Cert, Key: "nowhere.key", CA: good.CA}, "nowhere.key"},
		"no CA":            {identity.Files{Cert: good.Cert, Key: good.Key, CA: "nowhere.pem"}, "nowhere.pem"},
		"another's key":    {identity.Files{Cert: good.Cert, Key: other.Key, CA: good.CA}, "does not match"},
		"a key for the CA": {identity.Files{Cert: good.Cert, Key: good.Key, CA: good.Key}, "no CA certificate"},
		"no peer":          {issue(t, ca, identity.Peer{Role: identity.Agent, Name: "x"}, identitytest.URIs()), "no rollcall URI"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := identity.Load(tt.files, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}

func TestExpiryMetric(t *testing.T) {
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	_, reg := load(t, issue(t, authority(t), agent, identitytest.NotAfter(end)), slog.New(slog.DiscardHandler))
	got := values(t, reg, "rollcall_identity_certificate_expiry_timestamp_seconds")
	if got[""] != float64(end.Unix()) {
		t.Errorf("expiry %v, want %d", got, end.Unix())
	}
}

func TestIssuedFiles(t *testing.T) {
	files := issue(t, authority(t), agent)
	if !strings.HasSuffix(files.Cert, "/agent-node-1.pem") || !strings.HasSuffix(files.CA, "/ca.pem") {
		t.Errorf("files %+v", files)
	}
	info, err := os.Stat(files.Key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: mode %v, %v", info.Mode(), err)
	}
}

// A certificate from memory is as good as one from files, and its refusals
// count with those of the source that it came from.
func TestWith(t *testing.T) {
	ca := authority(t)
	first, reg := load(t, issue(t, ca, identity.Peer{Role: identity.Agent, Name: "all"}), slog.New(slog.DiscardHandler))
	client, _ := load(t, issue(t, ca, aggregator), slog.New(slog.DiscardHandler))
	cert, err := ca.IssueInMemory(agent)
	if err != nil {
		t.Fatal(err)
	}
	s, err := first.With(cert)
	if err != nil || s.Self() != agent {
		t.Fatalf("%v, %v", s, err)
	}
	if _, serverErr, clientErr := shake(t, s.ServerConfig(identity.Aggregator), client.ClientConfig(agent)); serverErr != nil || clientErr != nil {
		t.Errorf("server: %v, client: %v", serverErr, clientErr)
	}
	if _, serverErr, _ := shake(t, s.ServerConfig(identity.Aggregator), s.ClientConfig(agent)); serverErr == nil {
		t.Error("an agent was let in")
	}
	if n := values(t, reg, "rollcall_identity_refused_total")[string(identity.WrongRole)]; n != 1 {
		t.Errorf("%v refusals counted", n)
	}

	nobody, err := ca.IssueInMemory(agent, identitytest.URIs())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.With(nobody); err == nil || !strings.Contains(err.Error(), "no rollcall URI") {
		t.Errorf("a certificate of nobody: %v", err)
	}
	cert.Leaf = nil
	if _, err := first.With(cert); err == nil {
		t.Error("a certificate that was not parsed was taken")
	}
}

// One from memory does not look at files, however old it gets.
func TestWithStays(t *testing.T) {
	ca := authority(t)
	first, _ := load(t, issue(t, ca, agent), slog.New(slog.DiscardHandler))
	cert, err := ca.IssueInMemory(aggregator)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := first.With(cert)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		got, err := s.ClientConfig(agent).GetClientCertificate(nil)
		if err != nil || got.Leaf != cert.Leaf || s.Self() != aggregator {
			t.Errorf("%v, %v", got.Leaf, err)
		}
	})
}

func TestSourceConcurrently(t *testing.T) {
	ca := authority(t)
	server, _ := load(t, issue(t, ca, agent), slog.New(slog.DiscardHandler))
	client, _ := load(t, issue(t, ca, aggregator, identitytest.Usages(x509.ExtKeyUsageClientAuth)), slog.New(slog.DiscardHandler))
	in, out := server.ServerConfig(identity.Aggregator), client.ClientConfig(agent)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, serverErr, clientErr := shake(t, in, out); serverErr != nil || clientErr != nil {
				t.Errorf("server: %v, client: %v", serverErr, clientErr)
			}
		})
	}
	wg.Wait()
}
