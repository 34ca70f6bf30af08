package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// ServerConfig lets in clients with a certificate of our CA, for client use,
// valid now, of a peer with the role allow. Everyone else is refused in the
// handshake, with a [Refusal]; refusals are counted by reason and logged at
// most once a minute each. Every handshake uses the newest certificate and CA.
//
// Whom it let in is PeerOf(state.PeerCertificates[0]); VerifiedChains stays
// empty, since the verification is ours.
func (s *Source) ServerConfig(allow Role) *tls.Config { return s.serverConfig(allow, false) }

// EnrolmentConfig is as ServerConfig, but lets in clients without any
// certificate, too: those that come to get one. A handler has to tell them apart
// by state.PeerCertificates.
func (s *Source) EnrolmentConfig(allow Role) *tls.Config { return s.serverConfig(allow, true) }

func (s *Source) serverConfig(allow Role, strangers bool) *tls.Config {
	// What crypto/tls and net/http look at before there is a connection.
	outer := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}
	// A configuration per connection is how crypto/tls lets the CA change, and
	// tells us the remote address.
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		m := s.latest()
		if m == nil {
			return nil, errNoCertificate
		}
		return s.connectionConfig(m, allow, strangers, hello.Conn.RemoteAddr().String()), nil
	}
	return outer
}

func (s *Source) connectionConfig(m *material, allow Role, strangers bool, remote string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{m.cert},
		// net/http would add h2 to the outer configuration, but HTTP/2 costs more
		// CPU and memory here than HTTP/1.1 does.
		NextProtos: []string{"http/1.1"},
		// Connections are kept for hours, so a resumption saves nothing; and a
		// ticket would outlive the certificate and the CA that it was issued under.
		SessionTicketsDisabled: true,
		// Request instead of require, so that a client without a certificate gets
		// to VerifyConnection and is counted.
		ClientAuth: tls.RequestClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			if strangers && len(state.PeerCertificates) == 0 {
				return nil
			}
			peer, refusal := m.verify(state.PeerCertificates, x509.ExtKeyUsageClientAuth)
			if refusal == nil && peer.Role != allow {
				refusal = &Refusal{WrongRole, fmt.Errorf("%s is not an %s", peer, allow)}
			}
			if refusal == nil {
				return nil
			}
			s.metrics.refused[refusal.Reason].Inc()
			if skipped, ok := s.refused.Allow(string(refusal.Reason)); ok {
				s.log.Warn("client refused", "reason", refusal.Reason, "remote", remote, "error", refusal.Err, "not_logged_before", skipped)
			}
			return refusal
		},
	}
}

// ClientConfig connects only to want: the server's certificate must be of our
// CA, for server use, valid now, and of exactly that peer, or the handshake
// ends with a [Refusal], which is counted; the caller logs it. Every handshake
// uses the newest certificate and CA.
func (s *Source) ClientConfig(want Peer) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Without the hybrid with ML-KEM, Go's default: it was a sixth of
		// the CPU of an aggregator's start, with 5000 handshakes, and what
		// goes over these connections, how busy machines were, need not be secret
		// from those who may have quantum computers one day.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		// This switches off crypto/tls's own verification, which insists on a DNS
		// name or an address; a peer has neither that would last. VerifyConnection
		// does all of it instead, and is always called.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			m := s.latest()
			if m == nil {
				return errNoCertificate
			}
			peer, refusal := m.verify(state.PeerCertificates, x509.ExtKeyUsageServerAuth)
			switch {
			case refusal != nil:
			case peer.Role != want.Role:
				refusal = &Refusal{WrongRole, fmt.Errorf("wanted %s, found %s", want, peer)}
			case peer.Name != want.Name:
				refusal = &Refusal{WrongName, fmt.Errorf("wanted %s, found %s", want, peer)}
			default:
				return nil
			}
			s.metrics.refused[refusal.Reason].Inc()
			return refusal
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &s.latest().cert, nil // only after VerifyConnection
		},
	}
}

// TrustConfig is for a client that has no certificate yet: it connects to any
// server of that role whose certificate is of one of the CAs, for server use and
// valid now, or the handshake ends with a [Refusal].
func TrustConfig(roots *x509.CertPool, role Role) *tls.Config {
	m := &material{roots: roots}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // as in ClientConfig: VerifyConnection does all of it
		VerifyConnection: func(state tls.ConnectionState) error {
			peer, refusal := m.verify(state.PeerCertificates, x509.ExtKeyUsageServerAuth)
			if refusal == nil && peer.Role != role {
				refusal = &Refusal{WrongRole, fmt.Errorf("wanted an %s, found %s", role, peer)}
			}
			if refusal != nil {
				return refusal
			}
			return nil
		},
	}
}

// verify checks the chain that the other side showed, its own certificate
// first, and reads the peer from it.
func (m *material) verify(shown []*x509.Certificate, usage x509.ExtKeyUsage) (Peer, *Refusal) {
	if len(shown) == 0 {
		return Peer{}, &Refusal{NoCertificate, errors.New("no certificate")}
	}
	intermediates := x509.NewCertPool()
	for _, cert := range shown[1:] {
		intermediates.AddCert(cert)
	}
	_, err := shown[0].Verify(x509.VerifyOptions{
		Roots:         m.roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
			return Peer{}, &Refusal{Expired, err}
		}
		return Peer{}, &Refusal{Untrusted, err}
	}
	peer, err := PeerOf(shown[0])
	if err != nil {
		return Peer{}, &Refusal{Malformed, err}
	}
	return peer, nil
}
