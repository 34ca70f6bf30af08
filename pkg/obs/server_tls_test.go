package obs

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestServeTLS(t *testing.T) {
	// Borrows httptest's certificate.
	lender := httptest.NewTLSServer(nil)
	certs, roots := lender.TLS.Certificates, x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	lender.Close()

	l, err := Listen(t.Context(), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, Server{Name: "peer", Listener: l, TLS: &tls.Config{Certificates: certs}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, r.Proto)
	})})

	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	if got := fetch(trusting, "https://"+l.Addr().String()); got.body != "HTTP/1.1" {
		t.Errorf("got %+v, want HTTP/1.1 although the client offers HTTP/2", got)
	}
	doubting := &http.Client{Transport: &http.Transport{}}
	if got := fetch(doubting, "https://"+l.Addr().String()); got.err == nil {
		t.Errorf("a client that does not trust the certificate got %+v", got)
	}
	s.stop()
	if err := <-s.err; err != nil {
		t.Errorf("Serve: %v", err)
	}
	trusting.CloseIdleConnections()

	// Anyone can fail a handshake, so it is no more than a debug line.
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "TLS handshake error") && !strings.Contains(line, `level=DEBUG msg="http server"`) {
			t.Errorf("logged %s", line)
		}
	}
}
