package enrol

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

const (
	// inFlight is how many requests are served at a time, each of them one
	// TokenReview, which takes an API server some milliseconds. All 5000 agents
	// of a fleet that starts are through within a minute, at a tenth of this.
	inFlight = 32
	// timeout bounds one request; the agent waits for 10 s.
	timeout = 8 * time.Second
)

// A Reviewer has the API server check a token; *Tokens is one. It must be safe
// for concurrent use. Its errors are [*Refusal]s.
type Reviewer interface {
	Review(ctx context.Context, token string) (Claims, error)
}

// An Authority signs; *authority.Keeper is one. It fails if there is no CA yet.
type Authority interface {
	Issue(peer identity.Peer, key crypto.PublicKey, lifetime time.Duration) (*x509.Certificate, error)
}

// Claims are what the API server says about the bearer of a token.
type Claims struct {
	Node, Pod string
}

// Handler answers [enrol.Path], on a server with [identity.Source.EnrolmentConfig].
// Metrics are registered with reg.
func Handler(tokens Reviewer, ca Authority, log *slog.Logger, reg prometheus.Registerer) http.Handler {
	h := &handler{tokens: tokens, ca: ca, log: log, places: make(chan struct{}, inFlight),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_enrolments_total",
			Help: "Requests of agents for a certificate, by how they ended.",
		}, []string{"result"})}
	h.requests.WithLabelValues(ok)
	for reason := range statuses() {
		h.requests.WithLabelValues(string(reason))
	}
	reg.MustRegister(h.requests)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+enrol.Path, h.serve)
	return mux
}

// ok is the result of requests that got a certificate.
const ok = "ok"

type handler struct {
	tokens   Reviewer
	ca       Authority
	log      *slog.Logger
	places   chan struct{}
	requests *prometheus.CounterVec
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	claims, cert, err := h.enrol(ctx, w, r)
	w.Header().Set("Content-Type", "application/json")
	if err == nil {
		h.requests.WithLabelValues(ok).Inc()
		h.log.Info("agent enrolled", "node", claims.Node, "pod", claims.Pod, "remote", r.RemoteAddr, "not_after", cert.NotAfter)
		_ = json.NewEncoder(w).Encode(enrol.Response{Certificate: cert.Raw}) // the agent may be gone
		return
	}
	refusal, known := errors.AsType[*Refusal](err)
	if !known {
		refusal = &Refusal{Unavailable, err}
	}
	h.requests.WithLabelValues(string(refusal.Reason)).Inc()
	h.log.Warn("enrolment refused", "reason", refusal.Reason, "remote", r.RemoteAddr, "node", claims.Node, "pod", claims.Pod, "err", refusal.Err)
	w.WriteHeader(statuses()[refusal.Reason])
	_ = json.NewEncoder(w).Encode(enrol.Error{Reason: string(refusal.Reason), Message: refusal.Err.Error()})
}

// enrol checks everything that needs no API server first.
func (h *handler) enrol(ctx context.Context, w http.ResponseWriter, r *http.Request) (Claims, *x509.Certificate, error) {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	case <-ctx.Done():
		return Claims{}, nil, &Refusal{Busy, fmt.Errorf("more than %d agents enrol at a time", inFlight)}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, enrol.MaxBody))
	if err != nil {
		return Claims{}, nil, &Refusal{Malformed, fmt.Errorf("read the request: %w", err)}
	}
	var req enrol.Request
	if err := json.Unmarshal(body, &req); err != nil {
		return Claims{}, nil, &Refusal{Malformed, fmt.Errorf("read the request: %w", err)}
	}
	peer, csr, err := readCSR(req.CSR)
	if err != nil {
		return Claims{}, nil, err
	}
	if err := checkProof(csr, r.TLS, req); err != nil {
		return Claims{}, nil, err
	}
	claims, err := h.tokens.Review(ctx, req.Token)
	if err != nil {
		return claims, nil, err
	}
	vouched := identity.Peer{Role: identity.Agent, Name: claims.Node}
	if peer != vouched {
		return claims, nil, &Refusal{WrongNode, fmt.Errorf("the request is for %s, the token is bound to node %s (pod %s)", peer, claims.Node, claims.Pod)}
	}
	cert, err := h.ca.Issue(vouched, csr.PublicKey, enrol.Lifetime)
	return claims, cert, err
}

// readCSR reads who the request is for. It may name one agent, and nothing else.
func readCSR(der []byte) (identity.Peer, *x509.CertificateRequest, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return identity.Peer{}, nil, &Refusal{Malformed, fmt.Errorf("read the certificate request: %w", err)}
	}
	if err := csr.CheckSignature(); err != nil {
		return identity.Peer{}, nil, &Refusal{WrongProof, fmt.Errorf("certificate request: %w", err)}
	}
	if len(csr.URIs) != 1 || len(csr.DNSNames)+len(csr.IPAddresses)+len(csr.EmailAddresses) > 0 || len(csr.Subject.Names) > 0 || len(csr.Extensions) > 1 {
		return identity.Peer{}, nil, &Refusal{WrongNames, errors.New("a certificate request may hold one URI, rollcall://agent/NODE, and no other name or extension")}
	}
	peer, err := identity.PeerOf(&x509.Certificate{URIs: csr.URIs})
	if err != nil {
		return identity.Peer{}, nil, &Refusal{WrongNames, err}
	}
	if peer.Role != identity.Agent {
		return identity.Peer{}, nil, &Refusal{WrongNames, fmt.Errorf("the request is for %s, only agents enrol", peer)}
	}
	return peer, csr, nil
}

func checkProof(csr *x509.CertificateRequest, state *tls.ConnectionState, req enrol.Request) error {
	if state == nil {
		return &Refusal{WrongProof, errors.New("not over TLS")}
	}
	if err := enrol.CheckProof(csr.PublicKey, state, req.Token, req.Proof); err != nil {
		return &Refusal{WrongProof, err}
	}
	return nil
}
