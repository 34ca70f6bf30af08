package resource

import (
	"k8s.io/apiserver/pkg/server/dynamiccertificates"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// certificate is the aggregator's own certificate, as the API server wants it.
type certificate struct{ *identity.Source }

// Name implements [dynamiccertificates.CertKeyContentProvider], as the methods
// that follow do.
func (certificate) Name() string { return "aggregator" }

func (c certificate) CurrentCertKeyContent() (cert, key []byte) {
	cert, key, _ = c.PEM() // Run has waited until there is one
	return cert, key
}

func (c certificate) AddListener(l dynamiccertificates.Listener) { c.Notify(l.Enqueue) }
