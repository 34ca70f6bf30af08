package identity_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

var (
	agent      = identity.Peer{Role: identity.Agent, Name: "node-1"}
	aggregator = identity.Peer{Role: identity.Aggregator, Name: "aggregator-0"}
)

func authority(t *testing.T) *identitytest.Authority {
	t.Helper()
	a, err := identitytest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *identitytest.Authority, peer identity.Peer, opts ...identitytest.Option) identity.Files {
	t.Helper()
	files, err := a.Issue(peer, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func load(t *testing.T, files identity.Files, log *slog.Logger) (*identity.Source, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	s, err := identity.Load(files, log, reg)
	if err != nil {
		t.Fatal(err)
	}
	return s, reg
}

// clientOf shows the certificate whatever it is and trusts every server.
func clientOf(t *testing.T, files identity.Files) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}}
}

// serverOf shows the certificate whatever it is and lets everyone in.
func serverOf(t *testing.T, files identity.Files) *tls.Config {
	c := clientOf(t, files)
	c.ClientAuth = tls.RequestClientCert
	return c
}

// shake connects the two over loopback and passes one byte from the server to
// the client: only then does the client know that it was let in. (net.Pipe has
// no buffer: an alert meets the other side's flight, and both hang.)
func shake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		defer raw.Close()
		conn := tls.Server(raw, server)
		if err = conn.Handshake(); err == nil {
			_, err = conn.Write([]byte{1})
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, client)
	if clientErr = conn.Handshake(); clientErr == nil {
		_, clientErr = conn.Read(make([]byte, 1))
	}
	return conn.ConnectionState(), <-done, clientErr
}

// values are a metric's values by its only label, "" if it has none.
func values(t *testing.T, reg *prometheus.Registry, metric string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		if f.GetName() != metric {
			continue
		}
		for _, m := range f.Metric {
			label := ""
			if len(m.Label) > 0 {
				label = m.Label[0].GetValue()
			}
			found[label] = m.Counter.GetValue() + m.Gauge.GetValue()
		}
	}
	return found
}

// counted checks that one refusal was counted for that reason, and none else.
func counted(t *testing.T, reg *prometheus.Registry, reason identity.Reason) {
	t.Helper()
	refused := values(t, reg, "rollcall_identity_refused_total")
	if len(refused) != 6 {
		t.Errorf("reasons: %v", refused)
	}
	for r, n := range refused {
		if (n == 1) != (r == string(reason)) {
			t.Errorf("refused: %v, want one for %q", refused, reason)
		}
	}
}

func refusal(t *testing.T, err error, want identity.Reason) {
	t.Helper()
	if r, ok := errors.AsType[*identity.Refusal](err); !ok || r.Reason != want {
		t.Errorf("got %v, want a refusal for %s", err, want)
	}
}

func TestMutualTLS(t *testing.T) {
	ca := authority(t)
	server, sreg := load(t, issue(t, ca, agent), slog.New(slog.DiscardHandler))
	client, creg := load(t, issue(t, ca, aggregator), slog.New(slog.DiscardHandler))
	state, serverErr, clientErr := shake(t, server.ServerConfig(identity.Aggregator), client.ClientConfig(agent))
	if serverErr != nil || clientErr != nil {
		t.Fatalf("server: %v, client: %v", serverErr, clientErr)
	}
	if state.Version != tls.VersionTLS13 {
		t.Errorf("version %x", state.Version)
	}
	if peer, err := identity.PeerOf(state.PeerCertificates[0]); err != nil || peer != agent {
		t.Errorf("peer %v, %v", peer, err)
	}
	if server.Self() != agent || client.Self() != aggregator {
		t.Errorf("self: %v, %v", server.Self(), client.Self())
	}
	counted(t, sreg, "")
	counted(t, creg, "")
}

func TestServerRefuses(t *testing.T) {
	ca, other := authority(t), authority(t)
	plain, err := ca.IssueServer("kubelet", net.IPv4(127, 0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		client *tls.Config
		want   identity.Reason
	}{
		"no certificate":     {&tls.Config{InsecureSkipVerify: true}, identity.NoCertificate},
		"another CA":         {clientOf(t, issue(t, other, aggregator)), identity.Untrusted},
		"expired":            {clientOf(t, issue(t, ca, aggregator, identitytest.Expired())), identity.Expired},
		"not yet valid":      {clientOf(t, issue(t, ca, aggregator, identitytest.NotYetValid())), identity.Expired},
		"for servers only":   {clientOf(t, issue(t, ca, aggregator, identitytest.Usages(x509.ExtKeyUsageServerAuth))), identity.Untrusted},
		"plain, for servers": {clientOf(t, plain), identity.Untrusted},
		"no URI":             {clientOf(t, issue(t, ca, aggregator, identitytest.URIs())), identity.Malformed},
		"two URIs":           {clientOf(t, issue(t, ca, aggregator, identitytest.URIs(agent.URI(), aggregator.URI()))), identity.Malformed},
		"not a role":         {clientOf(t, issue(t, ca, aggregator, identitytest.URIs(&url.URL{Scheme: "rollcall", Host: "admin", Path: "/a"}))), identity.Malformed},
		"an agent":           {clientOf(t, issue(t, ca, agent)), identity.WrongRole},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			server, reg := load(t, issue(t, ca, identity.Peer{Role: identity.Agent, Name: "server"}), slog.New(slog.NewTextHandler(&logged, nil)))
			_, serverErr, clientErr := shake(t, server.ServerConfig(identity.Aggregator), tt.client)
			refusal(t, serverErr, tt.want)
			if !identity.Unauthorized(serverErr) || !identity.Unauthorized(clientErr) {
				t.Errorf("not Unauthorized: server %v, client %v", serverErr, clientErr)
			}
			counted(t, reg, tt.want)
			if !strings.Contains(logged.String(), "reason="+string(tt.want)+" remote=127.0.0.1:") {
				t.Errorf("logged %q", logged.String())
			}
		})
	}
}

func TestServerRefusesOldTLS(t *testing.T) {
	ca := authority(t)
	server, _ := load(t, issue(t, ca, agent), slog.New(slog.DiscardHandler))
	client := clientOf(t, issue(t, ca, aggregator))
	client.MaxVersion = tls.VersionTLS12
	_, serverErr, clientErr := shake(t, server.ServerConfig(identity.Aggregator), client)
	if serverErr == nil || clientErr == nil || identity.Unauthorized(clientErr) {
		t.Errorf("server: %v, client: %v", serverErr, clientErr)
	}
}

func TestClientRefuses(t *testing.T) {
	ca, other := authority(t), authority(t)
	plain, err := ca.IssueServer("node-1", net.IPv4(127, 0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		server *tls.Config
		want   identity.Reason
	}{
		"another CA":       {serverOf(t, issue(t, other, agent)), identity.Untrusted},
		"expired":          {serverOf(t, issue(t, ca, agent, identitytest.Expired())), identity.Expired},
		"for clients only": {serverOf(t, issue(t, ca, agent, identitytest.Usages(x509.ExtKeyUsageClientAuth))), identity.Untrusted},
		"DNS name only":    {serverOf(t, plain), identity.Malformed},
		"another node":     {serverOf(t, issue(t, ca, identity.Peer{Role: identity.Agent, Name: "node-2"})), identity.WrongName},
		"an aggregator":    {serverOf(t, issue(t, ca, identity.Peer{Role: identity.Aggregator, Name: "node-1"})), identity.WrongRole},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client, reg := load(t, issue(t, ca, aggregator), slog.New(slog.DiscardHandler))
			_, serverErr, clientErr := shake(t, tt.server, client.ClientConfig(agent))
			refusal(t, clientErr, tt.want)
			if !identity.Unauthorized(serverErr) || !identity.Unauthorized(clientErr) {
				t.Errorf("not Unauthorized: server %v, client %v", serverErr, clientErr)
			}
			counted(t, reg, tt.want)
		})
	}
}

func TestRefusalsAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := authority(t)
		var logged bytes.Buffer
		server, reg := load(t, issue(t, ca, agent), slog.New(slog.NewTextHandler(&logged, nil)))
		config := server.ServerConfig(identity.Aggregator)
		stranger := &tls.Config{InsecureSkipVerify: true}
		wrong := clientOf(t, issue(t, ca, agent))
		for range 3 {
			_, _, _ = shake(t, config, stranger)
			_, _, _ = shake(t, config, wrong)
		}
		if n := strings.Count(logged.String(), "client refused"); n != 2 {
			t.Errorf("%d lines at first, want one per reason:\n%s", n, logged.String())
		}
		logged.Reset()
		time.Sleep(time.Minute) // of the bubble's clock
		_, _, _ = shake(t, config, stranger)
		if s := logged.String(); strings.Count(s, "client refused") != 1 || !strings.Contains(s, "not_logged_before=2") {
			t.Errorf("a minute later:\n%s", s)
		}
		if refused := values(t, reg, "rollcall_identity_refused_total"); refused["no_certificate"] != 4 || refused["wrong_role"] != 3 {
			t.Errorf("refused: %v", refused)
		}
	})
}

func TestSourceReloads(t *testing.T) {
	// The bubble's clock, so that ten seconds take none.
	synctest.Test(t, func(t *testing.T) {
		ca := authority(t)
		var logged bytes.Buffer
		files := issue(t, ca, agent, identitytest.NotAfter(time.Now().Add(time.Hour)))
		server, _ := load(t, files, slog.New(slog.NewTextHandler(&logged, nil)))
		client, _ := load(t, issue(t, ca, aggregator), slog.New(slog.DiscardHandler))
		in, out := server.ServerConfig(identity.Aggregator), client.ClientConfig(agent)
		// serial is which certificate the server shows.
		serial := func() string {
			t.Helper()
			state, serverErr, clientErr := shake(t, in, out)
			if serverErr != nil || clientErr != nil {
				t.Fatalf("server: %v, client: %v", serverErr, clientErr)
			}
			return state.PeerCertificates[0].SerialNumber.String()
		}
		logs := func() int { return strings.Count(logged.String(), "not reloaded") }

		first := serial()
		issue(t, ca, agent)
		if serial() != first {
			t.Error("looked at the files before 10 s were over")
		}
		time.Sleep(10 * time.Second)
		second := serial()
		if second == first {
			t.Error("the new certificate is not served")
		}

		key, err := os.ReadFile(files.Key)
		if err != nil {
			t.Fatal(err)
		}
		for _, broken := range []struct {
			name  string
			apply func() error
		}{
			{"half-written", func() error { return os.WriteFile(files.Key, key[:len(key)/2], 0o600) }},
			{"missing", func() error { return os.Remove(files.Key) }},
			{"someone else's", func() error {
				f := issue(t, ca, identity.Peer{Role: identity.Agent, Name: "node-2"})
				return errors.Join(os.Rename(f.Key, files.Key), os.Rename(f.Cert, files.Cert))
			}},
		} {
			before := logs()
			if err := broken.apply(); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				time.Sleep(10 * time.Second)
				if serial() != second {
					t.Errorf("%s: the old certificate is gone", broken.name)
				}
			}
			if n := logs() - before; n != 1 {
				t.Errorf("%s: logged %d times, want once:\n%s", broken.name, n, logged.String())
			}
		}

		issue(t, ca, agent)
		time.Sleep(10 * time.Second)
		if s := serial(); s == first || s == second {
			t.Error("the files are whole again, and not used")
		}
		time.Sleep(2 * time.Hour) // beyond the end of the first
		serial()
	})
}

func TestSourceFollowsTheCA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := authority(t), authority(t)
		server, reg := load(t, issue(t, old, agent), slog.New(slog.DiscardHandler))
		client, _ := load(t, issue(t, old, aggregator), slog.New(slog.DiscardHandler))
		in, out := server.ServerConfig(identity.Aggregator), client.ClientConfig(agent)
		replaced := clientOf(t, issue(t, next, aggregator))
		_, serverErr, _ := shake(t, in, replaced)
		refusal(t, serverErr, identity.Untrusted)

		// Both are trusted while the CA is replaced.
		oldPEM, err1 := os.ReadFile(old.CA())
		nextPEM, err2 := os.ReadFile(next.CA())
		if err := errors.Join(err1, err2, os.WriteFile(old.CA(), append(oldPEM, nextPEM...), 0o644)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		for name, c := range map[string]*tls.Config{"old": out, "next": replaced} {
			if _, serverErr, clientErr := shake(t, in, c); serverErr != nil || clientErr != nil {
				t.Errorf("%s: server %v, client %v", name, serverErr, clientErr)
			}
		}
		if n := values(t, reg, "rollcall_identity_reloads_total"); n["ok"] != 1 || n["failed"] != 0 {
			t.Errorf("reloads: %v", n)
		}
	})
}
