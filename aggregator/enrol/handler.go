package enrol

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

const (
	// inFlight is how many TokenReviews there are at a time, each of which takes an
	// API server some milliseconds. By reasoning, 5000 agents that start at once are
	// through in seconds.
	inFlight = 32
	// perAddress is how many of them may be for one remote address: an agent makes
	// one, and some networks hide all pods of a node behind the node's.
	perAddress = 2
	// timeout bounds one request; the agent waits for 10 s.
	timeout = 8 * time.Second
	// readTimeout bounds reading it: whoever is slower is no agent.
	readTimeout = 3 * time.Second
	// maxError bounds an error that is logged and told, in bytes: strangers write
	// parts of it.
	maxError = 300
	// logEvery and logBurst bound what is logged of refusals for the same reason.
	logEvery = time.Minute
	logBurst = 5
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
	h := &handler{
		tokens: tokens, ca: ca, log: log, rarely: obs.NewRarely(logBurst, logEvery),
		places: make(chan struct{}, inFlight), busy: map[string]int{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_enrolments_total",
			Help: "Requests of agents for a certificate, by how they ended.",
		}, []string{"result"}),
	}
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
	rarely   *obs.Rarely
	requests *prometheus.CounterVec

	places chan struct{}
	mu     sync.Mutex
	busy   map[string]int // requests under review, by remote address
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
	message := refusal.Err.Error()
	message = strings.ToValidUTF8(message[:min(len(message), maxError)], "")
	if skipped, ok := h.rarely.Allow(string(refusal.Reason)); ok {
		h.log.Warn("enrolment refused", "reason", refusal.Reason, "remote", r.RemoteAddr, "node", claims.Node, "pod", claims.Pod, "err", message, "not_logged_before", skipped)
	}
	w.WriteHeader(statuses()[refusal.Reason])
	_ = json.NewEncoder(w).Encode(enrol.Error{Reason: string(refusal.Reason), Message: message})
}

// enrol checks everything that needs no API server first.
func (h *handler) enrol(ctx context.Context, w http.ResponseWriter, r *http.Request) (Claims, *x509.Certificate, error) {
	// The server has no deadline for bodies. It cannot fail on a connection of its
	// own.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout))
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
	claims, err := h.review(ctx, r.RemoteAddr, req.Token)
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

// review has the API server check the token, when there is a place.
func (h *handler) review(ctx context.Context, remote, token string) (Claims, error) {
	address, _, err := net.SplitHostPort(remote)
	if err != nil {
		address = remote
	}
	h.mu.Lock()
	full := h.busy[address] >= perAddress
	if !full {
		h.busy[address]++
	}
	h.mu.Unlock()
	if full {
		return Claims{}, &Refusal{Busy, fmt.Errorf("%d requests from this address are under review already", perAddress)}
	}
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.busy[address]--; h.busy[address] == 0 {
			delete(h.busy, address)
		}
	}()
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	case <-ctx.Done():
		return Claims{}, &Refusal{Busy, fmt.Errorf("more than %d agents enrol at a time", inFlight)}
	}
	return h.tokens.Review(ctx, token)
}

// readCSR reads who the request is for. It may name one agent, and nothing else.
func readCSR(der []byte) (identity.Peer, *x509.CertificateRequest, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return identity.Peer{}, nil, &Refusal{Malformed, fmt.Errorf("read the certificate request: %w", err)}
	}
	// Before the signature: a long RSA key takes seconds to check.
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return identity.Peer{}, nil, &Refusal{Malformed, errors.New("the key is not ECDSA on P-256")}
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
