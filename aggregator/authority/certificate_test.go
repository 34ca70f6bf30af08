package authority

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// The API server asks aggregators by a name. Members, which know them by their
// role, don't mind it, be they older or not; and agents never get one.
func TestOwnCertificateHasNames(t *testing.T) {
	s := newStore()
	k, id := keeper(s, "aggregator-1")
	if err := k.look(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.bundle()))
	cert, key, err := id.PEM()
	if err != nil {
		t.Fatal(err)
	}
	served, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := served.Leaf.Verify(x509.VerifyOptions{DNSName: apiName, Roots: roots}); err != nil {
		t.Errorf("as the API server verifies: %v", err)
	}
	if peer, err := identity.PeerOf(served.Leaf); err != nil || peer != id.Self() || !slices.Equal(served.Leaf.DNSNames, []string{apiName}) {
		t.Errorf("it is %v (%v), with the names %v", peer, err, served.Leaf.DNSNames)
	}

	node := agent(t, k, s, time.Now())
	if err := handshake(id, node); err != nil {
		t.Errorf("an agent is asked: %v", err)
	}
	if err := shake(identity.TrustConfig(roots, identity.Aggregator), id.EnrolmentConfig(identity.Aggregator)); err != nil {
		t.Errorf("an agent enrols: %v", err)
	}
	older, olderID := keeperOf(s, "aggregator-2")
	if err := older.look(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(older.own.DNSNames) > 0 {
		t.Errorf("names from nowhere: %v", older.own.DNSNames)
	}
	for _, pair := range [][2]*identity.Source{{id, olderID}, {olderID, id}} {
		if err := shake(pair[0].ClientConfig(pair[1].Self()), pair[1].EnrolmentConfig(identity.Aggregator)); err != nil {
			t.Errorf("%v asks %v: %v", pair[0].Self(), pair[1].Self(), err)
		}
	}

	issued, err := k.Issue(identity.Peer{Role: identity.Agent, Name: "node-1"}, testKey(t), time.Hour)
	if err != nil || len(issued.DNSNames)+len(issued.IPAddresses)+len(issued.EmailAddresses) > 0 || len(issued.URIs) != 1 {
		t.Errorf("an agent's: %v, %v", issued, err)
	}
}
