package enrol

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

const (
	// Path is where an aggregator enrols: POST, a [Request] as JSON, answered
	// with a [Response], or an [Error] and a status that is not 200.
	Path = "/v1/enrol"
	// Audience is whom an agent's token must be made out to.
	Audience = "rollcall"
	// Lifetime is how long a certificate lives. Nothing can call one back, so it
	// is short; and long enough for an agent to live through a night in which no
	// aggregator runs.
	Lifetime = 24 * time.Hour
	// MaxBody bounds a request or an answer, in bytes: a token has 1 to 2 KB, a
	// certificate 1.
	MaxBody = 16 << 10
)

// A Request asks for a certificate.
type Request struct {
	// Token is the service account token of the agent's pod, for [Audience].
	Token string `json:"token"`
	// CSR is a PKCS #10 certificate request in DER, whose only name is the
	// agent's URI.
	CSR []byte `json:"csr"`
	// Proof is the [Proof] by the key of the CSR.
	Proof []byte `json:"proof"`
}

// A Response is the certificate, in DER.
type Response struct {
	Certificate []byte `json:"certificate"`
}

// An Error is why there is none.
type Error struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// exporter is the label of the value that both ends of a connection know, and
// nobody else (RFC 8446, section 7.5).
const exporter = "EXPORTER-rollcall-enrolment"

// Proof says that the holder of the key sent this token on this connection.
func Proof(key crypto.Signer, state *tls.ConnectionState, token string) ([]byte, error) {
	sum, err := bound(state, token)
	if err != nil {
		return nil, err
	}
	return key.Sign(rand.Reader, sum, crypto.SHA256)
}

// CheckProof tells whether the proof was made with the private key to key, on
// this connection, for this token.
func CheckProof(key crypto.PublicKey, state *tls.ConnectionState, token string, proof []byte) error {
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("a key of type %T, want ECDSA", key)
	}
	sum, err := bound(state, token)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(public, sum, proof) {
		return errors.New("the proof is not by the key of the request, on this connection, for this token")
	}
	return nil
}

// bound is what a proof signs.
func bound(state *tls.ConnectionState, token string) ([]byte, error) {
	secret, err := state.ExportKeyingMaterial(exporter, nil, sha256.Size)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append(secret, token...))
	return sum[:], nil
}
