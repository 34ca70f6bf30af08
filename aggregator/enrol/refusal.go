package enrol

import (
	"fmt"
	"net/http"
)

// A Reason is why an agent got no certificate; a label of the counter.
type Reason string

const (
	// Malformed: not a request.
	Malformed Reason = "malformed"
	// WrongProof: the request was not made by the holder of the key on this
	// connection, as when it is sent a second time.
	WrongProof Reason = "wrong_proof"
	// WrongNames: the certificate request names other than one agent.
	WrongNames Reason = "wrong_names"
	// WrongToken: the API server does not accept the token for our audience:
	// expired, made out to another audience, of a pod that is gone, or made up.
	WrongToken Reason = "wrong_token"
	// WrongAccount: the token is of another service account than the agents'.
	WrongAccount Reason = "wrong_account"
	// Unbound: the token is not bound to a pod on a node.
	Unbound Reason = "unbound"
	// WrongNode: the token is bound to another node than the request is for.
	WrongNode Reason = "wrong_node"
	// Unavailable: the API server cannot be asked, or there is no CA yet.
	Unavailable Reason = "unavailable"
	// Busy: too many at a time.
	Busy Reason = "busy"
)

// statuses are all reasons, with their HTTP status.
func statuses() map[Reason]int {
	return map[Reason]int{
		Malformed:    http.StatusBadRequest,
		WrongProof:   http.StatusForbidden,
		WrongNames:   http.StatusForbidden,
		WrongToken:   http.StatusUnauthorized,
		WrongAccount: http.StatusForbidden,
		Unbound:      http.StatusForbidden,
		WrongNode:    http.StatusForbidden,
		Unavailable:  http.StatusServiceUnavailable,
		Busy:         http.StatusServiceUnavailable,
	}
}

// A Refusal is why an agent got no certificate. Err holds no secret; the agent
// is told.
type Refusal struct {
	Reason Reason
	Err    error
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %v", r.Reason, r.Err) }

func (r *Refusal) Unwrap() error { return r.Err }
