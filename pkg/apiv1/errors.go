package apiv1

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// A Code is the kind of an error, as the error's JSON has it.
type Code string

const (
	// NotFound: there is no such node, namespace, pod, container or path.
	NotFound Code = "not_found"
	// Invalid: a parameter cannot be understood, or is unknown.
	Invalid Code = "invalid_parameter"
	// NotAllowed: the method is not GET.
	NotAllowed Code = "method_not_allowed"
	// Incomplete: nodes are missing and the request does not allow that.
	Incomplete Code = "incomplete"
	// Unavailable: the question cannot be answered now.
	Unavailable Code = "unavailable"
	// TooManyRequests: too many other requests are being answered.
	TooManyRequests Code = "too_many_requests"
)

// retryAfter is what a client that is refused is asked to wait, in seconds: a
// question to all nodes takes less.
const retryAfter = "1"

// status is the one place that maps errors to HTTP.
func (c Code) status() int {
	switch c {
	case NotFound:
		return http.StatusNotFound
	case Invalid:
		return http.StatusBadRequest
	case NotAllowed:
		return http.StatusMethodNotAllowed
	case TooManyRequests:
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

// An Error is an error with its kind.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an error of that kind.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// errorJSON is the body of an error, with the coverage if there is one.
func errorJSON(err error, c *coverage.Coverage) (status int, body []byte) {
	e := &Error{Code: Unavailable, Message: err.Error()}
	_ = errors.As(err, &e)
	body = append(body, `{"error":{"code":`...)
	body = coverage.AppendString(body, string(e.Code))
	body = append(body, `,"message":`...)
	body = coverage.AppendString(body, e.Message)
	body = append(body, '}')
	if c != nil {
		body = append(body, `,"coverage":`...)
		body = c.AppendJSON(body)
	}
	return e.Code.status(), append(body, '}', '\n')
}
