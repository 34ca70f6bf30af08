package agents

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// An Error is why a node did not answer.
type Error struct {
	Node    string
	Outcome coverage.Outcome
	Err     error
	// Who was asked, if anyone was.
	Who Incarnation
	// Part tells that the agent itself says so, in an answer that is right
	// otherwise: it could not read all that it was asked for.
	Part bool
}

func (e *Error) Error() string { return e.Node + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// failed makes an Error of what went wrong.
func failed(ctx context.Context, to agent, err error) error {
	outcome, part := Outcome(err), false
	if known, ok := errors.AsType[*Error](err); ok {
		err, part = known.Err, known.Part
	}
	if end := ctx.Err(); end != nil && outcome != coverage.Unauthorized && !errors.Is(err, end) {
		// Then that is why: an agent that sees us hang up may say anything.
		outcome, part, err = Outcome(end), false, fmt.Errorf("%w: %w", end, err)
	}
	return &Error{Node: to.Node, Outcome: outcome, Err: err, Who: to.incarnation(), Part: part}
}

// Outcome is how a node's answer ended that ended with err; nil is OK. What it
// does not know is Truncated: something came, and it was not an answer.
func Outcome(err error) coverage.Outcome {
	known, ok := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return coverage.OK
	case ok:
		return known.Outcome
	case errors.Is(err, errOverBudget):
		return coverage.OverBudget
	case identity.Unauthorized(err): // first: a refusal is one however late it comes
		return coverage.Unauthorized
	case errors.Is(err, context.Canceled):
		return coverage.Canceled
	case timedOut(err):
		return coverage.Timeout
	case notConnected(err):
		return coverage.Refused
	}
	// io.EOF, io.ErrUnexpectedEOF, wire.ErrTruncated, wire.ErrMalformed, a
	// reset, a broken pipe, and what is not TLS or not HTTP at all.
	return coverage.Truncated
}

// timedOut tells whether a deadline passed: of ctx, of a connection, or of the
// kernel for packets that nobody answers.
func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && n.Timeout()
}

// notConnected tells whether no connection came about: refused, no route, or
// an alert in the handshake that does not speak of certificates.
func notConnected(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "dial" || op.Op == "remote error")
}

// statusOutcome is the outcome of an answer with a status other than 200.
func statusOutcome(status int) coverage.Outcome {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return coverage.Unauthorized
	case http.StatusNotFound, http.StatusBadRequest:
		// It does not know the path, or a parameter: the version is in the path,
		// and parameters that an agent does not know it refuses (pkg/wire).
		return coverage.VersionSkew
	}
	return coverage.Refused
}
