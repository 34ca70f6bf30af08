package identity

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// checkEvery is how old our view of the files may get: certificates are
// renewed hours before they expire, and reading three small files costs less
// than a tenth of one handshake.
const checkEvery = 10 * time.Second

// Files are the paths of PEM files: a certificate chain with our own
// certificate first, its private key, and the certificates of the CA (two
// while it is replaced).
type Files struct {
	Cert, Key, CA string
}

// A Source is this process's certificate and the CA that it trusts.
//
// From [Load], they are always as new as the files. It looks at them when a
// handshake or a metrics scrape needs them, at most every 10 s; it compares
// contents, because a Kubernetes Secret is replaced by swapping a symbolic link.
// If the new files are broken or half-written, the old ones stay in use. From
// [New], they are what was installed last; until then no handshake works.
//
// Connections that are already open are not touched. A Source is safe for
// concurrent use.
type Source struct {
	self    Peer
	files   Files // none: see New and With
	log     *slog.Logger
	metrics *metrics
	refused *obs.Rarely
	now     atomic.Pointer[material] // nil until there is something
	ready   chan struct{}            // closed once there is

	mu      sync.Mutex // held while looking at the files
	checked time.Time
	seen    [sha256.Size]byte // of what was found there, good or broken

	listening sync.Mutex
	listeners []func() // see Notify
}

// material is what one state of the files holds.
type material struct {
	self  Peer
	cert  tls.Certificate
	roots *x509.CertPool
}

// errNoCertificate ends handshakes before [Source.Install].
var errNoCertificate = errors.New("this process has no certificate yet")

// Load reads the files. It fails if they cannot be used at all; an expired
// certificate is loaded, since the process can do other things until a new one
// comes. The metrics are registered with reg, once per registry.
func Load(files Files, log *slog.Logger, reg prometheus.Registerer) (*Source, error) {
	content, err := read(files)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	m, err := parse(files, content)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	s := New(m.self, log, reg)
	s.files, s.checked, s.seen = files, time.Now(), digest(content, nil)
	s.store(m)
	log.Info("identity loaded", "peer", m.self.String(), "not_after", m.cert.Leaf.NotAfter)
	return s, nil
}

// New returns the source of a process that is self and has no certificate yet;
// see [Source.Install]. The metrics are registered with reg, once per registry.
func New(self Peer, log *slog.Logger, reg prometheus.Registerer) *Source {
	s := &Source{self: self, log: log, refused: obs.NewRarely(1, logEvery), ready: make(chan struct{})}
	s.metrics = newMetrics(reg, s.expiry)
	return s
}

// Install takes a certificate, which must be of this process, and the CAs to
// trust into use.
func (s *Source) Install(cert tls.Certificate, roots *x509.CertPool) error {
	if cert.Leaf == nil {
		return errors.New("install identity: certificate without a leaf")
	}
	self, err := PeerOf(cert.Leaf)
	if err != nil {
		return fmt.Errorf("install identity: %w", err)
	}
	if self != s.self {
		return fmt.Errorf("install identity: the certificate of %s, this process is %s", self, s.self)
	}
	s.store(&material{self: self, cert: cert, roots: roots})
	return nil
}

func (s *Source) store(m *material) {
	if s.now.Swap(m) == nil {
		close(s.ready)
	}
	s.notify()
}

// Ready is closed once there is a certificate.
func (s *Source) Ready() <-chan struct{} { return s.ready }

// With returns the source of another certificate, which is in memory and stays
// as it is, and trusts the CA that s trusts now. What it refuses is counted and
// logged as s's. It is for many peers in one process.
func (s *Source) With(cert tls.Certificate) (*Source, error) {
	if cert.Leaf == nil {
		return nil, errors.New("load identity: certificate without a leaf")
	}
	self, err := PeerOf(cert.Leaf)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	trusted := s.now.Load()
	if trusted == nil {
		return nil, fmt.Errorf("load identity: %w", errNoCertificate)
	}
	twin := &Source{self: self, log: s.log, metrics: s.metrics, refused: s.refused, ready: make(chan struct{})}
	twin.store(&material{self: self, cert: cert, roots: trusted.roots})
	return twin, nil
}

// Self is who this process is. It never changes: a renewed certificate for
// someone else is not taken.
func (s *Source) Self() Peer { return s.self }

// expiry is when the current certificate expires, in Unix seconds; 0 if there
// is none.
func (s *Source) expiry() float64 {
	m := s.latest()
	if m == nil {
		return 0
	}
	return float64(m.cert.Leaf.NotAfter.Unix())
}

// latest looks at the files if it is time to. While one caller does, the
// others go on with what is there, so that a hanging disk holds up one. It is
// nil if there is no certificate yet.
func (s *Source) latest() *material {
	if s.files != (Files{}) && s.mu.TryLock() {
		defer s.mu.Unlock()
		if time.Since(s.checked) >= checkEvery {
			s.checked = time.Now()
			s.reload()
		}
	}
	return s.now.Load()
}

// reload takes over the files if they have changed, and logs once per change.
func (s *Source) reload() {
	content, err := read(s.files)
	sum := digest(content, err)
	if sum == s.seen {
		return
	}
	s.seen = sum
	old := s.now.Load()
	var m *material
	if err == nil {
		m, err = parse(s.files, content)
	}
	if err == nil && m.self != old.self {
		err = fmt.Errorf("%s is the certificate of %s, this process is %s", s.files.Cert, m.self, old.self)
	}
	if err != nil {
		s.metrics.reloadsFailed.Inc()
		s.log.Error("identity not reloaded, keeping the old one", "error", err, "not_after", old.cert.Leaf.NotAfter)
		return
	}
	s.store(m)
	s.metrics.reloadsOK.Inc()
	s.log.Info("identity reloaded", "peer", m.self.String(), "not_after", m.cert.Leaf.NotAfter)
}

// content is what the files hold: certificate chain, key, CA.
type content [3][]byte

func read(files Files) (content, error) {
	var c content
	for i, path := range []string{files.Cert, files.Key, files.CA} {
		var err error
		if c[i], err = os.ReadFile(path); err != nil {
			return content{}, err
		}
	}
	return c, nil
}

// digest identifies what was found in the files, or why nothing was.
func digest(c content, err error) [sha256.Size]byte {
	h := sha256.New()
	for _, b := range c {
		sum := sha256.Sum256(b)
		h.Write(sum[:])
	}
	if err != nil {
		h.Write([]byte(err.Error()))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func parse(files Files, c content) (*material, error) {
	cert, err := tls.X509KeyPair(c[0], c[1])
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
	}
	if cert.Leaf == nil {
		return nil, errors.New("certificate without a leaf")
	}
	self, err := PeerOf(cert.Leaf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", files.Cert, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c[2]) {
		return nil, fmt.Errorf("no CA certificate in %s", files.CA)
	}
	return &material{self: self, cert: cert, roots: roots}, nil
}
