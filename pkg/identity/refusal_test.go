package identity_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

func TestUnauthorized(t *testing.T) {
	remote := func(text string) error {
		return &url.Error{Op: "Get", URL: "https://node-1", Err: &net.OpError{Op: "remote error", Err: errors.New(text)}}
	}
	tests := map[string]struct {
		err  error
		want bool
	}{
		"refusal":               {&identity.Refusal{Reason: identity.WrongName, Err: errors.New("x")}, true},
		"wrapped refusal":       {fmt.Errorf("node-1: %w", &url.Error{Err: &net.OpError{Err: &identity.Refusal{Err: io.EOF}}}), true},
		"unknown authority":     {fmt.Errorf("x: %w", x509.UnknownAuthorityError{}), true},
		"invalid":               {x509.CertificateInvalidError{Reason: x509.Expired}, true},
		"host name":             {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"}, true},
		"crypto/tls's own":      {&tls.CertificateVerificationError{Err: io.EOF}, true},
		"bad certificate":       {remote("tls: bad certificate"), true},
		"certificate required":  {remote("tls: certificate required"), true},
		"unknown CA":            {remote("tls: unknown certificate authority"), true},
		"expired":               {remote("tls: expired certificate"), true},
		"access denied":         {remote("tls: access denied"), true},
		"alert on QUIC":         {fmt.Errorf("x: %w", tls.AlertError(42)), true},
		"alert inside an OpErr": {&net.OpError{Op: "read", Err: remote("tls: bad certificate")}, true},
		"other alert":           {remote("tls: handshake failure"), false},
		"version alert":         {remote("tls: protocol version not supported"), false},
		"not from remote":       {&net.OpError{Op: "local error", Err: errors.New("tls: bad certificate")}, false},
		"nil":                   {nil, false},
		"EOF":                   {io.EOF, false},
		"unexpected EOF":        {io.ErrUnexpectedEOF, false},
		"reset":                 {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, false},
		"refused":               {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, false},
		"deadline":              {context.DeadlineExceeded, false},
		"i/o timeout":           {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := identity.Unauthorized(tt.err); got != tt.want {
				t.Errorf("Unauthorized(%v) = %v", tt.err, got)
			}
		})
	}
}

// TestUnauthorizedOverHTTP sees what net/http makes of a refusal by either
// side, over real connections.
func TestUnauthorizedOverHTTP(t *testing.T) {
	ca := authority(t)
	server, _ := load(t, issue(t, ca, agent), slog.New(slog.DiscardHandler))
	asAggregator, _ := load(t, issue(t, ca, aggregator), slog.New(slog.DiscardHandler))
	asAgent, _ := load(t, issue(t, ca, identity.Peer{Role: identity.Agent, Name: "node-2"}), slog.New(slog.DiscardHandler))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		TLSConfig: server.ServerConfig(identity.Aggregator),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }),
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- srv.ServeTLS(listener, "", "") }()
	defer func() {
		srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()

	tests := map[string]struct {
		client *tls.Config
		want   bool // let in
	}{
		"let in":                 {asAggregator.ClientConfig(agent), true},
		"refused by the server":  {asAgent.ClientConfig(agent), false},
		"refused by the client":  {asAggregator.ClientConfig(identity.Peer{Role: identity.Agent, Name: "node-9"}), false},
		"without a certificate":  {&tls.Config{InsecureSkipVerify: true}, false},
		"verifies DNS, as usual": {&tls.Config{}, false},
		"let in, offering HTTP/2 ": {func() *tls.Config {
			c := asAggregator.ClientConfig(agent)
			c.NextProtos = []string{"h2", "http/1.1"}
			return c
		}(), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: tt.client}
			defer transport.CloseIdleConnections()
			get := func() (*http.Response, error) {
				return (&http.Client{Transport: transport}).Get("https://" + listener.Addr().String())
			}
			resp, err := get()
			// A server that has refused closes the connection. Whoever is still writing
			// then may be told of that before the alert is read.
			for tries := 0; tries < 20 && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)); tries++ {
				resp, err = get()
			}
			if err == nil {
				defer resp.Body.Close()
				if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "HTTP/1.1" {
					t.Errorf("body %q, %v", body, err)
				}
			}
			if tt.want != (err == nil) {
				t.Fatalf("got %v", err)
			}
			if err != nil && !identity.Unauthorized(err) {
				t.Errorf("not Unauthorized: %v", err)
			}
		})
	}
}
