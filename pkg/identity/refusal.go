package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// A Reason is why a peer was refused; a label of the refused counter.
type Reason string

const (
	// NoCertificate: the client showed none.
	NoCertificate Reason = "no_certificate"
	// Untrusted: not from our CA, or not meant for this use.
	Untrusted Reason = "untrusted"
	// Expired: outside its validity, before or after.
	Expired Reason = "expired"
	// Malformed: from our CA, but it names no peer.
	Malformed Reason = "malformed"
	// WrongRole: a peer of a role that has no business here.
	WrongRole Reason = "wrong_role"
	// WrongName: another peer of the right role, say an agent that answers
	// where a different node was meant.
	WrongName Reason = "wrong_name"
)

// reasons are all of them, so that every counter is there from the start.
func reasons() []Reason {
	return []Reason{NoCertificate, Untrusted, Expired, Malformed, WrongRole, WrongName}
}

// A Refusal is the error of a handshake in which we refused the other side.
type Refusal struct {
	Reason Reason
	Err    error
}

func (r *Refusal) Error() string { return fmt.Sprintf("peer refused (%s): %v", r.Reason, r.Err) }

func (r *Refusal) Unwrap() error { return r.Err }

// Unauthorized tells whether an error, however wrapped, means that one side of
// a connection did not accept the other's certificate: a [Refusal], an error
// of crypto/x509, or such an alert sent by the remote side. Timeouts, resets
// and EOF are not: they say nothing about certificates. A TLS 1.3 client
// learns of the server's refusal from its first read, not from its handshake.
func Unauthorized(err error) bool {
	return has[*Refusal](err) ||
		has[*tls.CertificateVerificationError](err) ||
		has[x509.CertificateInvalidError](err) ||
		has[x509.UnknownAuthorityError](err) ||
		has[x509.HostnameError](err) ||
		has[x509.ConstraintViolationError](err) ||
		has[x509.UnhandledCriticalExtension](err) ||
		has[x509.InsecureAlgorithmError](err) ||
		has[x509.SystemRootsError](err) ||
		refusedByRemote(err)
}

func has[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// certificateAlerts are the alerts that speak of a certificate
// (RFC 8446, section 6.2).
func certificateAlerts() []tls.AlertError {
	return []tls.AlertError{
		42,  // bad_certificate
		43,  // unsupported_certificate
		44,  // certificate_revoked
		45,  // certificate_expired
		46,  // certificate_unknown
		48,  // unknown_ca
		49,  // access_denied
		116, // certificate_required
	}
}

// refusedByRemote finds an alert in err. On TCP, crypto/tls reports it as a
// net.OpError whose Op is "remote error" and whose Err has an unexported type,
// so only the text can be compared; only QUIC gives a tls.AlertError.
func refusedByRemote(err error) bool {
	for _, alert := range certificateAlerts() {
		if errors.Is(err, alert) {
			return true
		}
		for op, ok := errors.AsType[*net.OpError](err); ok; op, ok = errors.AsType[*net.OpError](op.Err) {
			if op.Op == "remote error" && op.Err != nil && op.Err.Error() == alert.Error() {
				return true
			}
		}
	}
	return false
}
