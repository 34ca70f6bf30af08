package kubelet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// maxQuote is how many bytes of a refusal's body an error repeats: the
// kubelet says in one line whom it refused what.
const maxQuote = 200

// refusal is the error for a status other than 200.
func (c *Client) refusal(answer *Answer) *Error {
	said, _, _ := bytes.Cut(bytes.TrimSpace(answer.Body), []byte{'\n'})
	said = said[:min(len(said), maxQuote)]
	failure := &Error{Kind: Failed, Status: answer.Status}
	switch {
	case answer.Status == http.StatusUnauthorized:
		failure.Kind = Unauthorized
		failure.Err = fmt.Errorf("it answers %q to %s; the kubelet must accept it (authentication.webhook or an x509 client CA)", said, c.credential())
	case answer.Status == http.StatusForbidden:
		failure.Kind = Forbidden
		failure.Err = fmt.Errorf("it answers %q: grant this user the verb get on the resource nodes/stats", said)
	case answer.Status >= 300 && answer.Status < 400:
		failure.Err = fmt.Errorf("redirects are not followed: is --kubelet-port %d the kubelet's?", c.cfg.Port)
	case answer.Status == http.StatusNotFound:
		failure.Err = fmt.Errorf("it answers %q: is --kubelet-port %d the kubelet's, and its Summary API enabled?", said, c.cfg.Port)
	case answer.Status >= 500 && answer.Form == Full:
		failure.Err = fmt.Errorf("it answers %q: the full form fails as a whole if the statistics of one filesystem do, the light form may work; see the kubelet's log", said)
	default:
		failure.Err = fmt.Errorf("it answers %q: see the kubelet's log", said)
	}
	return failure
}

// credential says what the kubelet was shown.
func (c *Client) credential() string {
	switch {
	case c.cfg.TokenFile != "" && c.cfg.ClientCert != "":
		return fmt.Sprintf("the token in %s and the certificate in %s", c.cfg.TokenFile, c.cfg.ClientCert)
	case c.cfg.TokenFile != "":
		return "the token in " + c.cfg.TokenFile
	case c.cfg.ClientCert != "":
		return "the certificate in " + c.cfg.ClientCert
	}
	return "no credential at all: set --kubelet-token-file or --kubelet-client-certificate"
}

// gaveUp is the error for a request whose time was over.
func (c *Client) gaveUp(ctx context.Context, status int, where string) *Error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &Error{Kind: Canceled, Status: status, Err: fmt.Errorf("%s: %w", where, ctx.Err())}
	}
	return &Error{Kind: Timeout, Status: status,
		Err: fmt.Errorf("%s: %w; see what keeps the kubelet busy, or raise --kubelet-request-timeout (%v)", where, context.DeadlineExceeded, c.cfg.Timeout)}
}

// noAnswer is the error for a request that got no answer at all.
func (c *Client) noAnswer(ctx context.Context, err error) *Error {
	// Dialing has a deadline of its own, which may strike first.
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return c.gaveUp(ctx, 0, "before an answer")
	}
	if advice := c.adviceOn(err); advice != "" {
		err = fmt.Errorf("%w; %s", err, advice)
	}
	return &Error{Kind: Unreachable, Err: err}
}

// adviceOn says what to do about a failed connection, "" if err says it.
func (c *Client) adviceOn(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if c.cfg.CAFile == "" {
			return "set --kubelet-certificate-authority to the CA that signs the kubelets' serving certificates"
		}
		return fmt.Sprintf("%s holds another CA: set --kubelet-certificate-authority to the one that signs the kubelets' serving certificates "+
			"(kubelets sign their own unless serverTLSBootstrap is on; --kubelet-insecure-tls accepts that)", c.cfg.CAFile)
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the certificate is neither for --node-name %s nor for --kubelet-address %s: let the kubelet serve one that is "+
			"(--kubelet-insecure-tls accepts any)", c.cfg.Node, c.cfg.Address)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "the kubelet's serving certificate or its CA is not valid now: renew it, and check this node's clock"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Sprintf("--kubelet-port %d speaks no TLS: give the kubelet's authenticated port (10250)", c.cfg.Port)
	}
	// The only place where crypto/tls says that an alert came from the peer.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return "the kubelet ended the TLS handshake: it wants another --kubelet-client-certificate, or does not speak TLS 1.2 or newer"
	}
	if _, ok := errors.AsType[*handshakeError](err); ok {
		return fmt.Sprintf("is --kubelet-port %d the kubelet's, and does it speak TLS 1.2 or newer?", c.cfg.Port)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Sprintf("nothing listens on port %d: is the kubelet running, and --kubelet-port right?", c.cfg.Port)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return "the connection was closed without an answer: the kubelet may be restarting"
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "are --kubelet-address and --kubelet-port right, and does a network policy or firewall let the agent through?"
	}
	return ""
}
