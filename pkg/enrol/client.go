package enrol

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

const (
	// firstRetry and maxRetry bound the time between two attempts, of which the
	// second half is random. 5000 agents without an aggregator are 450 connections
	// a second to one that comes: by reasoning, half a core.
	firstRetry = time.Second
	maxRetry   = 15 * time.Second
	// attemptTimeout bounds one attempt with one aggregator.
	attemptTimeout = 10 * time.Second
	// maxAggregators is how many are tried in one attempt.
	maxAggregators = 3
	// look is how often the CA file is read.
	look = 10 * time.Second
	// logEvery is how often the same trouble is logged.
	logEvery = time.Minute
)

// A Client keeps an agent's identity valid.
type Client struct {
	cfg      Config
	id       *identity.Source
	key      *ecdsa.PrivateKey
	log      *slog.Logger
	attempts *prometheus.CounterVec

	bundle  []byte // what the CA file held when current was installed
	current *x509.Certificate
	renew   time.Time // when to get the next

	trouble atomic.Pointer[trouble] // nil: none
}

// trouble is why there is no new certificate.
type trouble struct {
	err    error
	logged time.Time
}

// NewClient makes the key. The metrics are registered with reg.
func NewClient(cfg Config, id *identity.Source, log *slog.Logger, reg prometheus.Registerer) (*Client, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	c := &Client{cfg: cfg, id: id, key: key, log: log, attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_enrolment_attempts_total",
		Help: "Attempts of this agent to get a certificate, by whether they worked.",
	}, []string{"result"})}
	for _, result := range []string{"ok", "failed"} {
		c.attempts.WithLabelValues(result)
	}
	reg.MustRegister(c.attempts)
	return c, nil
}

// Run gets a certificate and keeps it valid until ctx ends: a new one after two
// thirds of its life, or at once when the CAs that are trusted no longer vouch
// for it. Whatever fails is tried again, and logged when it begins and each
// minute.
func (c *Client) Run(ctx context.Context) {
	for retry := firstRetry; ; {
		err := c.keep(ctx)
		if ctx.Err() != nil {
			return
		}
		c.tell(err)
		pause := look
		if err != nil {
			pause = retry/2 + mathrand.N(retry/2)
			retry = min(2*retry, maxRetry)
		} else {
			retry = firstRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Err is why there is no certificate, or no new one where one is due; nil if all
// is well.
func (c *Client) Err() error {
	if t := c.trouble.Load(); t != nil {
		return t.err
	}
	return nil
}

// tell keeps and logs what went wrong, or that nothing does any more.
func (c *Client) tell(err error) {
	before, now := c.trouble.Load(), time.Now()
	if err == nil {
		c.trouble.Store(nil)
		return
	}
	next := &trouble{err: err, logged: now}
	if before != nil && now.Sub(before.logged) < logEvery {
		next.logged = before.logged
	} else {
		until := "none yet"
		if c.current != nil {
			until = c.current.NotAfter.UTC().Format(time.RFC3339)
		}
		c.log.Warn("no new certificate, trying again", "err", err, "valid_until", until)
	}
	c.trouble.Store(next)
}

// keep makes sure that the certificate is valid and vouched for.
func (c *Client) keep(ctx context.Context) error {
	bundle, err := os.ReadFile(c.cfg.CAFile)
	if err != nil {
		return fmt.Errorf("wait for an aggregator to publish its CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return fmt.Errorf("wait for an aggregator to publish its CA: no CA certificate in %s", c.cfg.CAFile)
	}
	if c.current != nil && !bytes.Equal(bundle, c.bundle) {
		// At once: a CA that is not published any more is not to be trusted, whether
		// or not the next one signs.
		if err := c.install(roots, bundle); err != nil {
			return err
		}
	}
	if c.current != nil && time.Now().Before(c.renew) && vouched(c.current, roots) {
		return nil
	}
	cert, err := c.enrol(ctx, roots)
	if err != nil {
		c.attempts.WithLabelValues("failed").Inc()
		return err
	}
	c.attempts.WithLabelValues("ok").Inc()
	// Without the monotonic clock, which stands still while a machine sleeps.
	now := time.Now().Round(0)
	c.current, c.renew = cert, now.Add(cert.NotAfter.Sub(now)*2/3)
	c.log.Info("enrolled", "peer", c.id.Self().String(), "not_after", cert.NotAfter)
	return c.install(roots, bundle)
}

// install takes what there is into use.
func (c *Client) install(roots *x509.CertPool, bundle []byte) error {
	c.bundle = bundle
	return c.id.Install(tls.Certificate{Certificate: [][]byte{c.current.Raw}, PrivateKey: c.key, Leaf: c.current}, roots)
}

func vouched(cert *x509.Certificate, roots *x509.CertPool) bool {
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// enrol asks aggregators, one after the other, until one signs.
func (c *Client) enrol(ctx context.Context, roots *x509.CertPool) (*x509.Certificate, error) {
	content, err := os.ReadFile(c.cfg.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return nil, fmt.Errorf("enrol: token file %s is empty", c.cfg.TokenFile)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{c.id.Self().URI()}}, c.key)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	addresses, err := resolve(ctx, c.cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	var errs []error
	for _, address := range addresses[:min(len(addresses), maxAggregators)] {
		cert, err := c.ask(ctx, address, roots, token, csr)
		if err == nil {
			return cert, nil
		}
		errs = append(errs, fmt.Errorf("enrol at %s: %w", address, err))
	}
	return nil, errors.Join(errs...)
}

// resolve finds the addresses behind host:port, in random order.
func resolve(ctx context.Context, address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	mathrand.Shuffle(len(found), func(a, b int) { found[a], found[b] = found[b], found[a] })
	for i := range found {
		found[i] = net.JoinHostPort(found[i], port)
	}
	return found, nil
}

// ask asks one aggregator.
func (c *Client) ask(ctx context.Context, address string, roots *x509.CertPool, token string, csr []byte) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	// The proof is about the connection, so there has to be one first.
	dialer := tls.Dialer{Config: identity.TrustConfig(roots, identity.Aggregator)}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	proof, err := Proof(c.key, &state, token)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(Request{Token: token, CSR: csr, Proof: proof})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+Path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true,
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp.Status, answer)
	}
	var r Response
	if err := json.Unmarshal(answer, &r); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return c.check(r.Certificate, roots)
}

// refusal is the error of an answer that is not 200.
func refusal(status string, answer []byte) error {
	var e Error
	if json.Unmarshal(answer, &e) != nil || e.Message == "" {
		return errors.New(status)
	}
	return fmt.Errorf("%s (%s): %s", status, e.Reason, e.Message)
}

// check tells whether the certificate is what was asked for.
func (c *Client) check(der []byte, roots *x509.CertPool) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	peer, err := identity.PeerOf(cert)
	switch {
	case err != nil:
		return nil, err
	case peer != c.id.Self():
		return nil, fmt.Errorf("got the certificate of %s, this is %s", peer, c.id.Self())
	case !c.key.PublicKey.Equal(cert.PublicKey):
		return nil, errors.New("got a certificate for another key")
	case !vouched(cert, roots):
		return nil, errors.New("got a certificate that the published CAs do not vouch for")
	}
	return cert, nil
}
