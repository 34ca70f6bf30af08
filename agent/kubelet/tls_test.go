package kubelet

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func serveSmall(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, smallDocument) }

func TestServingCertificate(t *testing.T) {
	cluster, other := newAuthority(t, "cluster"), newAuthority(t, "other")
	names := func(dns string, ips ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.DNSNames = nil
			if dns != "" {
				c.DNSNames = []string{dns}
			}
			for _, ip := range ips {
				c.IPAddresses = append(c.IPAddresses, net.ParseIP(ip))
			}
		}
	}
	for name, test := range map[string]struct {
		signer   *authority
		change   func(*x509.Certificate)
		insecure bool
		refused  []string // parts of the error; nil: accepted
	}{
		"node name":          {signer: cluster},
		"address only":       {signer: cluster, change: names("", "127.0.0.1")},
		"both":               {signer: cluster, change: names(testNode, "127.0.0.1")},
		"name, old address":  {signer: cluster, change: names(testNode, "10.9.9.9")},
		"address, old name":  {signer: cluster, change: names("node-2", "127.0.0.1")},
		"another node's":     {signer: cluster, change: names("node-2", "10.9.9.9"), refused: []string{"node-2", "--node-name " + testNode, "--kubelet-address 127.0.0.1"}},
		"common name only":   {signer: cluster, change: func(c *x509.Certificate) { c.Subject.CommonName = testNode; c.DNSNames = nil }, refused: []string{"--node-name"}},
		"wrong CA":           {signer: other, refused: []string{"unknown authority", "--kubelet-certificate-authority", "--kubelet-insecure-tls"}},
		"expired":            {signer: cluster, change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, refused: []string{"expired", "renew"}},
		"not for serving":    {signer: cluster, change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, refused: []string{"usage"}},
		"insecure: anything": {signer: other, change: names("node-2"), insecure: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, &tls.Config{Certificates: []tls.Certificate{test.signer.issue(t, test.change)}}, serveSmall)
			cfg := configFor(t, server.Listener.Addr())
			cfg.InsecureTLS = test.insecure
			if !test.insecure {
				cfg.CAFile = tempFile(t, cluster.pem())
			}
			client := startClient(t, cfg)
			if test.refused == nil {
				wantOK(t, client, Light)
			} else {
				wantFailure(t, client, Light, Unreachable, test.refused...)
			}
		})
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	ca := newAuthority(t, "cluster")
	for version, accepted := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			server := startServer(t, &tls.Config{
				Certificates: []tls.Certificate{ca.issue(t, nil)}, MinVersion: tls.VersionTLS10, MaxVersion: version,
			}, serveSmall)
			cfg := configFor(t, server.Listener.Addr())
			cfg.CAFile = tempFile(t, ca.pem())
			if client := startClient(t, cfg); accepted {
				wantOK(t, client, Light)
			} else {
				wantFailure(t, client, Light, Unreachable, "does not speak TLS 1.2")
			}
		})
	}
}

func TestIntermediateCertificate(t *testing.T) {
	root := newAuthority(t, "root")
	middle := &authority{key: newKey(t)}
	template := *root.cert
	template.Subject.CommonName = "middle"
	middle.cert = sign(t, &template, root.cert, middle.key, root.key)
	leaf := middle.issue(t, nil)
	leaf.Certificate = append(leaf.Certificate, middle.cert.Raw)
	server := startServer(t, &tls.Config{Certificates: []tls.Certificate{leaf}}, serveSmall)
	cfg := configFor(t, server.Listener.Addr())
	cfg.CAFile = tempFile(t, root.pem())
	wantOK(t, startClient(t, cfg), Light)
}

// TestCARotation: a CA file counts at the next connection, and not before.
func TestCARotation(t *testing.T) {
	before, after := newAuthority(t, "before"), newAuthority(t, "after")
	var serving atomic.Pointer[tls.Certificate]
	use := func(ca *authority) {
		cert := ca.issue(t, nil)
		serving.Store(&cert)
	}
	use(before)
	server := startServer(t, &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{*serving.Load()}}, nil
		},
	}, serveSmall)
	cfg := configFor(t, server.Listener.Addr())
	cfg.CAFile = tempFile(t, before.pem())
	client := startClient(t, cfg)
	wantOK(t, client, Light)

	writeFile(t, cfg.CAFile, "half a file")
	wantOK(t, client, Light) // on the connection that is open

	use(after)
	server.CloseClientConnections()
	wantFailure(t, client, Light, Unreachable, "--kubelet-certificate-authority", "no PEM certificate in "+cfg.CAFile)
	writeFile(t, cfg.CAFile, before.pem())
	wantFailure(t, client, Light, Unreachable, "unknown authority")
	writeFile(t, cfg.CAFile, before.pem()+after.pem())
	wantOK(t, client, Light)

	if err := os.Remove(cfg.CAFile); err != nil {
		t.Fatal(err)
	}
	server.CloseClientConnections()
	wantFailure(t, client, Light, Unreachable, "read --kubelet-certificate-authority")
}

// TestClientCertificate: it is shown, and a new one counts after a refusal
// although the old connection is still there.
func TestClientCertificate(t *testing.T) {
	ca := newAuthority(t, "cluster")
	var wanted atomic.Value
	wanted.Store("agent-1")
	server := startServer(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, nil)}, ClientAuth: tls.RequestClientCert,
	}, func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != wanted.Load() {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		serveSmall(w, r)
	})
	dir := t.TempDir()
	cfg := configFor(t, server.Listener.Addr())
	cfg.CAFile = tempFile(t, ca.pem())
	cfg.ClientCert, cfg.ClientKey = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	issue := func(name string) {
		cert := ca.issue(t, func(c *x509.Certificate) {
			c.Subject.CommonName = name
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})
		writeFile(t, cfg.ClientCert, certPEM(cert.Certificate[0]))
		writeFile(t, cfg.ClientKey, keyPEM(t, cert))
	}
	client := startClient(t, cfg)
	wantFailure(t, client, Light, Unreachable, "--kubelet-client-certificate", "--kubelet-client-key")
	issue("agent-1")
	wantOK(t, client, Light)

	wanted.Store("agent-2")
	issue("agent-2")
	wantFailure(t, client, Light, Unauthorized, "the certificate in "+cfg.ClientCert)
	wantOK(t, client, Light)
}

func TestClientCertificateRequired(t *testing.T) {
	ca := newAuthority(t, "cluster")
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	server := startServer(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MaxVersion: tls.VersionTLS12,
	}, serveSmall)
	cfg := configFor(t, server.Listener.Addr())
	cfg.CAFile = tempFile(t, ca.pem())
	wantFailure(t, startClient(t, cfg), Light, Unreachable, "--kubelet-client-certificate")
}

// TestToken: it is read for every request, and never repeated in an error.
func TestToken(t *testing.T) {
	var wanted atomic.Value
	var asked atomic.Int32
	wanted.Store("one")
	cfg, _ := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "Bearer "+wanted.Load().(string) {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		serveSmall(w, r)
	})
	cfg.TokenFile = tempFile(t, "one\n")
	client := startClient(t, cfg)
	wantOK(t, client, Light)
	wanted.Store("two")
	wantFailure(t, client, Light, Unauthorized, "the token in "+cfg.TokenFile)
	writeFile(t, cfg.TokenFile, "two")
	wantOK(t, client, Light)

	before := asked.Load()
	for name, content := range map[string]string{"empty": " \n", "two lines": "secret\r\nHost: x", "not ASCII": "secret\x00é"} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, cfg.TokenFile, content)
			answer, err := client.Fetch(t.Context(), Light)
			checkFailure(t, answer, err, Unauthorized, "no bearer token in "+cfg.TokenFile, "--kubelet-token-file")
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error has the token in it: %v", err)
			}
		})
	}
	if err := os.Remove(cfg.TokenFile); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, client, Light, Unauthorized, "read the token", cfg.TokenFile)
	if asked.Load() != before {
		t.Error("asked without a token")
	}
}

// TestInCluster: the files that Kubernetes mounts into a pod are used unasked.
func TestInCluster(t *testing.T) {
	cfg, _ := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer mounted" {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		serveSmall(w, r)
	})
	dir := t.TempDir()
	if err := os.Rename(cfg.CAFile, filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	cfg.CAFile = ""
	writeFile(t, filepath.Join(dir, "token"), "mounted")
	client, err := newClient(cfg, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	wantOK(t, client, Light)

	// Without them: the system's CAs, and no token.
	wantFailure(t, startClient(t, cfg), Light, Unreachable, "set --kubelet-certificate-authority")
}
