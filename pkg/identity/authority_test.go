package identity_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

func ca(t *testing.T) *identity.Authority {
	t.Helper()
	a, err := identity.NewAuthority("test", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAuthoritiesAsPEM(t *testing.T) {
	old, now := ca(t).Retired(), ca(t)
	text, err := identity.EncodeAuthorities([]*identity.Authority{old, now})
	if err != nil {
		t.Fatal(err)
	}
	got, err := identity.ParseAuthorities(text)
	if err != nil || len(got) != 2 || got[0].Signs() || !got[1].Signs() || !got[0].Cert.Equal(old.Cert) || !got[1].Cert.Equal(now.Cert) {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := got[0].Issue(agent, nil, time.Now(), time.Now().Add(time.Minute)); err == nil {
		t.Error("signed without a key")
	}
	if none, err := identity.ParseAuthorities([]byte(" \n")); err != nil || len(none) != 0 {
		t.Errorf("of nothing: %v, %v", none, err)
	}
	leaf, err := now.Issue(agent, old.Cert.PublicKey, time.Now(), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	key := text[bytes.Index(text, []byte("-----BEGIN PRIVATE KEY")):]
	for name, bad := range map[string][]byte{
		"no PEM":             []byte("x"),
		"cut off":            text[:len(text)-20],
		"key first":          slices.Concat(key, text),
		"two keys":           slices.Concat(text, key),
		"key of another":     slices.Concat(identity.EncodeCertificate(old.Cert), key),
		"not a CA":           identity.EncodeCertificate(leaf),
		"another type":       []byte("-----BEGIN TEA-----\nAAAA\n-----END TEA-----\n"),
		"broken certificate": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	} {
		if got, err := identity.ParseAuthorities(bad); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzParseAuthorities(f *testing.F) {
	a, err := identity.NewAuthority("test", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	text, err := identity.EncodeAuthorities([]*identity.Authority{a.Retired(), a})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:200])
	f.Fuzz(func(t *testing.T, text []byte) {
		authorities, err := identity.ParseAuthorities(text)
		if err != nil {
			return
		}
		again, err := identity.EncodeAuthorities(authorities)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := identity.ParseAuthorities(again); err != nil || len(back) != len(authorities) {
			t.Fatalf("%d authorities became %d: %v", len(authorities), len(back), err)
		}
	})
}

func TestGossipKeysAsText(t *testing.T) {
	made := time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)
	keys := []identity.GossipKey{identity.NewGossipKey(made), {Key: bytes.Repeat([]byte{7}, 16)}}
	text := identity.EncodeGossipKeys(keys)
	got, err := identity.ParseGossipKeys("x", text)
	if err != nil || len(got) != 2 || !got[0].Made.Equal(made) || !got[1].Made.IsZero() || !bytes.Equal(got[1].Key, keys[1].Key) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[0].ID() != keys[0].ID() || got[0].ID() == got[1].ID() || strings.Contains(string(text), got[0].ID()) {
		t.Errorf("IDs %s, %s", got[0].ID(), got[1].ID())
	}
	// A comment that is no time is only a comment.
	other := "# made yesterday\n" + base64.StdEncoding.EncodeToString(keys[1].Key)
	if got, err := identity.ParseGossipKeys("x", []byte(other)); err != nil || !got[0].Made.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}

// A member without a certificate talks to nobody, until it gets one.
func TestInstall(t *testing.T) {
	a := authority(t)
	roots := x509.NewCertPool()
	roots.AddCert(a.Cert)
	other, _ := load(t, issue(t, a, aggregator), slog.New(slog.DiscardHandler))
	s := identity.New(agent, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if s.Self() != agent {
		t.Errorf("it is %v", s.Self())
	}
	if _, _, err := shake(t, s.ServerConfig(identity.Aggregator), other.ClientConfig(agent)); err == nil {
		t.Error("a handshake without a certificate")
	}
	select {
	case <-s.Ready():
		t.Error("ready without a certificate")
	default:
	}
	for name, peer := range map[string]identity.Peer{"another node": {Role: identity.Agent, Name: "node-2"}, "another role": aggregator} {
		cert, err := a.IssueInMemory(peer)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Install(cert, roots); err == nil {
			t.Errorf("installed the certificate of %s", name)
		}
	}
	cert, err := a.IssueInMemory(agent)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Install(cert, roots); err != nil {
			t.Fatal(err)
		}
	}
	<-s.Ready()
	if _, serverErr, clientErr := shake(t, s.ServerConfig(identity.Aggregator), other.ClientConfig(agent)); serverErr != nil || clientErr != nil {
		t.Error(serverErr, clientErr)
	}
}

// Where agents enrol, those without a certificate are let in, and those with a
// wrong one are not.
func TestEnrolmentConfig(t *testing.T) {
	a, strange := authority(t), authority(t)
	s, _ := load(t, issue(t, a, aggregator), slog.New(slog.DiscardHandler))
	roots := x509.NewCertPool()
	roots.AddCert(a.Cert)
	trusting := identity.TrustConfig(roots, identity.Aggregator)
	_, serverErr, clientErr := shake(t, s.EnrolmentConfig(identity.Aggregator), trusting)
	if serverErr != nil || clientErr != nil {
		t.Errorf("without a certificate: %v, %v", serverErr, clientErr)
	}
	for name, tt := range map[string]struct {
		files identity.Files
		want  identity.Reason
	}{
		"an agent":   {issue(t, a, agent), identity.WrongRole},
		"a stranger": {issue(t, strange, aggregator), identity.Untrusted},
		"an old one": {issue(t, a, identity.Peer{Role: identity.Aggregator, Name: "old"}, identitytest.Expired()), identity.Expired},
		"another's":  {issue(t, a, identity.Peer{Role: identity.Aggregator, Name: "a-2"}), ""},
	} {
		_, serverErr, _ := shake(t, s.EnrolmentConfig(identity.Aggregator), clientOf(t, tt.files))
		if tt.want == "" {
			if serverErr != nil {
				t.Errorf("%s: %v", name, serverErr)
			}
			continue
		}
		refusal(t, serverErr, tt.want)
	}
	// The client's side.
	_, _, clientErr = shake(t, serverOf(t, issue(t, a, agent)), trusting)
	refusal(t, clientErr, identity.WrongRole)
	_, _, clientErr = shake(t, serverOf(t, issue(t, strange, aggregator)), trusting)
	refusal(t, clientErr, identity.Untrusted)
}
