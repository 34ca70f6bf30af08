package kubelet

import (
	"fmt"
	"strconv"
)

// A Kind says how a request to the kubelet failed.
type Kind uint8

const (
	// Unreachable: no answer at all. Nothing listens there, or TLS failed.
	Unreachable Kind = iota + 1
	// Timeout: no complete answer within Config.Timeout or the caller's deadline.
	Timeout
	// Canceled: the caller gave up.
	Canceled
	// Unauthorized: the kubelet does not know us (401), or there is no
	// readable token to show (status 0).
	Unauthorized
	// Forbidden: the kubelet knows us and says no (403).
	Forbidden
	// Failed: any other status than 200, a redirect included.
	Failed
	// Malformed: a complete body that is not a summary.
	Malformed
	// Truncated: the connection ended before the body did.
	Truncated
	// TooLarge: the body exceeds Config.MaxBody.
	TooLarge
)

// String is the kind as a metric label: "unreachable", "too_large", ….
func (k Kind) String() string {
	switch k {
	case Unreachable:
		return "unreachable"
	case Timeout:
		return "timeout"
	case Canceled:
		return "canceled"
	case Unauthorized:
		return "unauthorized"
	case Forbidden:
		return "forbidden"
	case Failed:
		return "failed"
	case Malformed:
		return "malformed"
	case Truncated:
		return "truncated"
	case TooLarge:
		return "too_large"
	}
	return "kind_" + strconv.Itoa(int(k))
}

// An Error is why there is no scrape. Its text ends with what to do about it.
type Error struct {
	Kind   Kind
	Status int // of the HTTP answer; 0 if there was none
	Err    error
}

// Error names the kind, the status if there was one, and the cause.
func (e *Error) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("kubelet %s: %v", e.Kind, e.Err)
	}
	return fmt.Sprintf("kubelet %s (status %d): %v", e.Kind, e.Status, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
