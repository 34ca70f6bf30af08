package obs

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// A Change turns the outcomes of something that is tried over and over into
// one log line per change: "failing" (warn) at the first failure, "failing
// differently" (warn) when the kind of failure changes, "recovered" (info,
// with how long it lasted and how many attempts failed) when it works again.
// Make one with [NewChange]. Safe for concurrent use.
type Change struct {
	log *slog.Logger

	mu       sync.Mutex
	kind     string // of the newest failure; "" while there is none
	err      error
	since    time.Time
	failures int
}

// NewChange returns a Change that logs to log; what names the thing that is
// tried ("kubelet", "ring") and is an attribute of every line.
func NewChange(log *slog.Logger, what string) *Change {
	return &Change{log: log.With("what", what)}
}

// Set records the outcome of an attempt, nil for success, and tells whether
// it was a change that was logged. Failures are of the same kind if their
// texts agree but for numbers and what begins with one (an address, a
// duration, a size); three digits that stand alone count, as they are mostly
// HTTP statuses.
func (c *Change) Set(err error) bool { return c.SetKind("", err) }

// SetKind is [Change.Set] for callers that know what kind of failure err is
// better than its text does. Without an error the kind does not matter; an
// empty kind is taken from the text.
func (c *Change) SetKind(kind string, err error) bool {
	if err != nil && kind == "" {
		kind = textKind(err.Error())
	}
	if err == nil {
		kind = ""
	}
	now := time.Now()

	// Logged under the lock, so that the lines come in the order in which
	// things happened.
	c.mu.Lock()
	defer c.mu.Unlock()
	was, first, start := c.kind, c.since.IsZero(), c.since
	failed := c.failures
	c.kind, c.err = kind, err
	if first || (was == "") != (kind == "") {
		c.since = now
	}
	if err == nil {
		c.failures = 0
	} else {
		c.failures++
	}

	switch {
	case was == kind:
		return false
	case kind == "":
		c.log.Info("recovered", "after", now.Sub(start).Round(time.Millisecond), "failures", failed)
	case was == "":
		c.log.Warn("failing", "err", err)
	default:
		c.log.Warn("failing differently", "err", err, "failures", c.failures)
	}
	return true
}

// Err returns the newest attempt's error; nil if it succeeded or there was none.
func (c *Change) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Since returns when it began to work, or to fail if Err is not nil; the zero
// time if nothing was tried yet. A change from one kind of failure to another
// is not a beginning.
func (c *Change) Since() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}

// Failures returns how many attempts have failed since the last that did not.
func (c *Change) Failures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures
}

// textKind masks the numbers in an error's text, and whole words that begin
// with one (addresses, durations), but for HTTP statuses: "read
// 10.0.0.1:43123: timeout after 812ms" and the next attempt, from another port
// after 1.2s, are one kind; "status 401" and "status 500" are two.
func textKind(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		switch bare := strings.Trim(w, ",;:.()[]\""); {
		case len(bare) == 3 && strings.Trim(bare, "0123456789") == "":
			// An HTTP status.
		case bare != "" && isDigit(rune(bare[0])):
			words[i] = "#"
		default:
			words[i] = maskDigits(w)
		}
	}
	return strings.Join(words, " ")
}

// maskDigits puts one # for every run of digits.
func maskDigits(w string) string {
	var b strings.Builder
	inNumber := false
	for _, r := range w {
		if !isDigit(r) {
			b.WriteRune(r)
		} else if !inNumber {
			b.WriteByte('#')
		}
		inNumber = isDigit(r)
	}
	return b.String()
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }
