package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
)

// A dialer opens TLS connections to the kubelet.
type dialer struct {
	cfg    Config
	target string          // host:port
	closed context.Context // done when the Client is closed
}

// dial opens one connection. It reads the CA and the client certificate
// anew: they rotate, and connections are few, for they are kept alive. The
// transport calls it with a context that outlives the request (the next one
// may want the connection), so dial has its own limits.
func (d *dialer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(d.closed, cancel)()

	config, err := d.tlsConfig()
	if err != nil {
		return nil, err
	}
	var tcp net.Dialer
	conn, err := tcp.DialContext(ctx, "tcp", d.target)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &handshakeError{err}
	}
	return secured, nil
}

func (d *dialer) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{
		ServerName: d.cfg.Node,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		// crypto/tls can only check for one name; verify does its work below.
		InsecureSkipVerify: true,
	}
	if !d.cfg.InsecureTLS {
		roots, err := d.roots()
		if err != nil {
			return nil, err
		}
		config.VerifyConnection = func(state tls.ConnectionState) error {
			return d.verify(roots, state.PeerCertificates)
		}
	}
	if d.cfg.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(d.cfg.ClientCert, d.cfg.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("read --kubelet-client-certificate %s and --kubelet-client-key %s: %w", d.cfg.ClientCert, d.cfg.ClientKey, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// roots are the CAs of CAFile; nil is the system's.
func (d *dialer) roots() (*x509.CertPool, error) {
	if d.cfg.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(d.cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read --kubelet-certificate-authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--kubelet-certificate-authority: no PEM certificate in %s", d.cfg.CAFile)
	}
	return pool, nil
}

// verify checks the kubelet's certificate: signed by one of the roots, for
// serving, valid now, and issued to this node. Node name and address both
// name this node, we chose both, and kubelets differ: those whose certificate
// the cluster's CA signs carry both, many others only one of the two.
func (d *dialer) verify(roots *x509.CertPool, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return fmt.Errorf("the kubelet sent no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	leaf := chain[0]
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates}); err != nil {
		return err
	}
	byName := leaf.VerifyHostname(d.cfg.Node)
	if byName == nil || leaf.VerifyHostname(d.cfg.Address) == nil {
		return nil
	}
	return byName
}

// A handshakeError tells a failed TLS handshake from a failed connection.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }
