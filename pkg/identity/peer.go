package identity

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Role is what a process of the fleet does.
type Role string

const (
	// Agent keeps the history of one node and answers only aggregators.
	Agent Role = "agent"
	// Aggregator asks the agents and merges their answers.
	Aggregator Role = "aggregator"
)

// Valid tells whether the role is one of those above.
func (r Role) Valid() bool { return r == Agent || r == Aggregator }

// scheme is the URI scheme of a peer in a certificate.
const scheme = "rollcall"

// A Peer is one process of the fleet: an agent by the name of its node, an
// aggregator by the name of its pod.
type Peer struct {
	Role Role
	Name string
}

// String is the peer as it stands in a certificate: rollcall://agent/node-1.
func (p Peer) String() string { return p.URI().String() }

// URI is the peer as the SAN of a certificate.
func (p Peer) URI() *url.URL {
	return &url.URL{Scheme: scheme, Host: string(p.Role), Path: "/" + p.Name}
}

// Validate tells what is wrong with the role or the name, if anything.
func (p Peer) Validate() error {
	if !p.Role.Valid() {
		return fmt.Errorf("unknown role %q", p.Role)
	}
	if !ValidName(p.Name) {
		return fmt.Errorf("name %q is not a DNS-1123 subdomain", p.Name)
	}
	return nil
}

// ValidName tells whether a node or pod can have that name: a DNS-1123
// subdomain as Kubernetes means it (labels of lower case letters, digits and
// inner '-', joined by '.', at most 253 bytes, single labels of any length).
func ValidName(name string) bool {
	if name == "" || len(name) > model.MaxName {
		return false
	}
	// prev is the byte before; a label's borders are like dots.
	prev := byte('.')
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
		case c == '-' && prev != '.':
		case c == '.' && prev != '.' && prev != '-':
		default:
			return false
		}
		prev = c
	}
	return prev != '.' && prev != '-'
}

// PeerOf reads the peer from a certificate, which the caller has verified. It
// is an error if the certificate does not have exactly one rollcall URI, or
// if that is not exactly what [Peer.String] would write. URIs with other
// schemes are ignored.
func PeerOf(cert *x509.Certificate) (Peer, error) {
	var found *url.URL
	for _, u := range cert.URIs {
		if u.Scheme != scheme {
			continue
		}
		if found != nil {
			return Peer{}, fmt.Errorf("certificate has several %s URIs: %s and %s", scheme, found, u)
		}
		found = u
	}
	if found == nil {
		return Peer{}, fmt.Errorf("certificate has no %s URI", scheme)
	}
	name, _ := strings.CutPrefix(found.Path, "/")
	peer := Peer{Role: Role(found.Host), Name: name}
	if err := peer.Validate(); err != nil {
		return Peer{}, fmt.Errorf("certificate URI %s: %w", found, err)
	}
	// Whatever else a URI may have (user, port, query, fragment, escapes) would
	// be a second way to write the same peer.
	if *found != *peer.URI() {
		return Peer{}, fmt.Errorf("certificate URI %s is not %s", found, peer)
	}
	return peer, nil
}
