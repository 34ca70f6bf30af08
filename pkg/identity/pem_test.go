package identity_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// pair is what another server makes of a source's PEM.
func pair(t *testing.T, s *identity.Source) tls.Certificate {
	t.Helper()
	cert, key, err := s.PEM()
	if err != nil {
		t.Fatal(err)
	}
	got, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Another server serves what was installed last, with its chain, and hears of
// each change.
func TestPEM(t *testing.T) {
	ca := authority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	s := identity.New(agent, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	changes := 0
	s.Notify(func() {
		changes++
		pair(t, s) // may be asked for at once
	})
	if cert, key, err := s.PEM(); err == nil {
		t.Errorf("before there is any: %s%s", cert, key)
	}
	for want := 1; want <= 2; want++ {
		cert, err := ca.IssueInMemory(agent)
		if err != nil {
			t.Fatal(err)
		}
		cert.Certificate = append(cert.Certificate, ca.Cert.Raw)
		if err := s.Install(cert, roots); err != nil {
			t.Fatal(err)
		}
		if got := pair(t, s); !got.Leaf.Equal(cert.Leaf) || len(got.Certificate) != 2 || changes != want {
			t.Errorf("%v with %d in its chain, %d changes, want %d", got.Leaf.SerialNumber, len(got.Certificate), changes, want)
		}
	}
	other, err := ca.IssueInMemory(agent)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := s.With(other)
	if err != nil || !pair(t, twin).Leaf.Equal(other.Leaf) || changes != 2 {
		t.Errorf("of a twin: %v, %d changes", err, changes)
	}
	// A key that is not in this process.
	other.PrivateKey = struct{ ed25519.PrivateKey }{}
	if err := twin.Install(other, roots); err != nil {
		t.Fatal(err)
	}
	if _, key, err := twin.PEM(); err == nil {
		t.Errorf("a key from nowhere: %s", key)
	}
}

// PEM looks at the files, should nobody else.
func TestPEMFollowsFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := authority(t)
		s, _ := load(t, issue(t, ca, agent), slog.New(slog.DiscardHandler))
		changes := 0
		s.Notify(func() { changes++ })
		first := pair(t, s)
		issue(t, ca, agent)
		time.Sleep(10 * time.Second)
		if second := pair(t, s); second.Leaf.Equal(first.Leaf) || changes != 1 {
			t.Errorf("%d changes; still %v", changes, second.Leaf.SerialNumber)
		}
		if third := pair(t, s); changes != 1 {
			t.Errorf("%d changes, %v", changes, third.Leaf.SerialNumber)
		}
	})
}
