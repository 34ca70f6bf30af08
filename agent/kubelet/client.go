package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// keptBody is how much of the body of a failed answer is kept for the
	// debug page, in bytes.
	keptBody = 64 << 10
	// maxHeader bounds the header of an answer, in bytes; the kubelet's has
	// about 200.
	maxHeader = 64 << 10
	// idleTimeout is how long an unused connection is kept: over a slot of up
	// to a minute, but not the 90 s after which the kubelet closes it.
	idleTimeout = 80 * time.Second
)

// A Form is how much of a summary is asked for.
type Form uint8

const (
	// Light is CPU, memory and swap only.
	Light Form = iota
	// Full adds network, storage and I/O. The kubelet answers 500 as a whole
	// if the statistics of one filesystem fail.
	Full
)

// String is "light" or "full".
func (f Form) String() string {
	switch f {
	case Light:
		return "light"
	case Full:
		return "full"
	}
	return "form_" + strconv.Itoa(int(f))
}

// query is what distinguishes the forms in the request.
func (f Form) query() string {
	if f == Full {
		return ""
	}
	return "?only_cpu_and_memory=true"
}

// An Answer is what the kubelet said, for the sampler and for the debug page.
type Answer struct {
	Form   Form
	Status int // 0: there was no answer
	// Body is all of a good answer, and the first 64 KiB of any other.
	Body []byte
	// At is when the request began, Took how long it lasted, up to the last
	// byte of the body.
	At   time.Time
	Took time.Duration
	// Scrape is the answer decoded, empty after an error.
	Scrape model.Scrape
	// Skipped says what was left out in decoding, see Decode.
	Skipped []string
}

// A Client asks one kubelet. It keeps one connection alive between requests.
//
// Fetch is safe for concurrent use, but a kubelet should have one request in
// flight: that is the caller's duty. Answers are not shared, the caller may
// keep and change them.
type Client struct {
	cfg       Config
	base      string // URL without the query
	transport *http.Transport
	stop      context.CancelFunc
	// lastSize is the size of the last good body of each form: the next one is
	// about as long, and the kubelet does not announce it.
	lastSize [Full + 1]atomic.Int64
	spare    atomic.Pointer[[]byte] // a body that nobody uses any more
}

// New returns a client for the kubelet that cfg describes, or says which flag
// is wrong. It reads no file and opens no connection.
func New(cfg Config) (*Client, error) { return newClient(cfg, serviceAccountDir) }

func newClient(cfg Config, serviceAccountDir string) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults(serviceAccountDir)
	closed, stop := context.WithCancel(context.Background())
	dialer := &dialer{cfg: cfg, target: net.JoinHostPort(cfg.Address, strconv.Itoa(cfg.Port)), closed: closed}

	var onlyHTTP1 http.Protocols
	onlyHTTP1.SetHTTP1(true)
	// A zone ("fe80::1%eth0") is for dialing, no part of a URL's host.
	host, _, _ := strings.Cut(cfg.Address, "%")
	return &Client{
		cfg:  cfg,
		base: "https://" + net.JoinHostPort(host, strconv.Itoa(cfg.Port)) + "/stats/summary",
		stop: stop,
		transport: &http.Transport{
			Proxy:                  nil, // the kubelet is on this very machine, whatever the environment says
			DialTLSContext:         dialer.dial,
			DisableCompression:     true, // costs both sides CPU, and the bytes never leave the machine
			Protocols:              &onlyHTTP1,
			MaxIdleConns:           1,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeader,
		},
	}, nil
}

// Reuse takes back an Answer's body that nobody uses any more, for one of the
// next answers: bodies are most of what the agent would allocate.
func (c *Client) Reuse(body []byte) { c.spare.Store(&body) }

// Close closes the connection and ends what is being dialed. It is called
// after the last Fetch.
func (c *Client) Close() {
	c.stop()
	c.transport.CloseIdleConnections()
}

// Fetch asks for one form of the summary and decodes the answer. It takes no
// longer than Config.Timeout. A failure is an *Error, and the Answer then
// holds what is known in spite of it.
func (c *Client) Fetch(ctx context.Context, form Form) (Answer, error) {
	answer := Answer{Form: form, At: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	failure := c.ask(ctx, &answer)
	answer.Took = time.Since(answer.At)
	if failure == nil {
		failure = decodeAnswer(&answer)
	}
	if failure == nil {
		c.lastSize[min(form, Full)].Store(int64(len(answer.Body)))
		return answer, nil
	}
	if failure.Kind == Unauthorized || failure.Kind == Forbidden {
		// The connection may have been opened with a client certificate that
		// has been replaced since: let the next request open its own.
		c.transport.CloseIdleConnections()
	}
	if len(answer.Body) > keptBody {
		answer.Body = bytes.Clone(answer.Body[:keptBody]) // lets go of the rest
	}
	return answer, failure
}

// ask sends the request and reads the answer, undecoded.
func (c *Client) ask(ctx context.Context, answer *Answer) *Error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+answer.Form.query(), nil)
	if err != nil {
		return &Error{Kind: Unreachable, Err: err}
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "rollcall-agent")
	if failure := c.authorize(request); failure != nil {
		return failure
	}

	// RoundTrip follows no redirect: a kubelet sends none, and the token is
	// for no one else.
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return c.noAnswer(ctx, err)
	}
	defer response.Body.Close()
	answer.Status = response.StatusCode
	if response.StatusCode != http.StatusOK {
		answer.Body, _ = io.ReadAll(io.LimitReader(response.Body, keptBody))
		return c.refusal(answer)
	}
	return c.readBody(ctx, response, answer)
}

// authorize adds the token, which it reads for every request: it is tiny, and
// a projected token is replaced without notice.
func (c *Client) authorize(request *http.Request) *Error {
	if c.cfg.TokenFile == "" {
		return nil
	}
	content, err := os.ReadFile(c.cfg.TokenFile)
	if err != nil {
		return &Error{Kind: Unauthorized, Err: fmt.Errorf("read the token (--kubelet-token-file): %w", err)}
	}
	token := string(bytes.TrimSpace(content))
	// Checked here because net/http would repeat the token in its error.
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return &Error{Kind: Unauthorized, Err: fmt.Errorf("no bearer token in %s (--kubelet-token-file)", c.cfg.TokenFile)}
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// readBody reads a good answer's body, up to the limit.
func (c *Client) readBody(ctx context.Context, response *http.Response, answer *Answer) *Error {
	fail := func(kind Kind, err error) *Error {
		return &Error{Kind: kind, Status: answer.Status, Err: err}
	}
	var body bytes.Buffer
	if spare := c.spare.Swap(nil); spare != nil {
		body = *bytes.NewBuffer((*spare)[:0])
	}
	// An eighth more than last time, and what ReadFrom wants free to see the
	// end without growing.
	last := min(max(c.lastSize[min(answer.Form, Full)].Load(), response.ContentLength), c.cfg.MaxBody)
	body.Grow(int(last+last/8) + bytes.MinRead)
	_, err := body.ReadFrom(io.LimitReader(response.Body, c.cfg.MaxBody+1))
	answer.Body = body.Bytes()
	switch {
	case int64(body.Len()) > c.cfg.MaxBody:
		return fail(TooLarge, fmt.Errorf("the body exceeds %d bytes: raise --kubelet-max-body if this node has so many pods", c.cfg.MaxBody))
	case ctx.Err() != nil:
		// Not err: when its client hangs up, a server may still end the body
		// properly, and that end arrive before the connection is gone.
		return c.gaveUp(ctx, answer.Status, fmt.Sprintf("after %d bytes of the body", body.Len()))
	case err != nil:
		return fail(Truncated, fmt.Errorf("the connection ended after %d bytes of the body: %w; the kubelet may be restarting", body.Len(), err))
	}
	return nil
}

// decodeAnswer decodes the body into the rest of the answer.
func decodeAnswer(answer *Answer) *Error {
	var err error
	answer.Scrape, answer.Skipped, err = Decode(answer.Body)
	failure, _ := errors.AsType[*Error](err)
	if failure != nil {
		failure.Status = answer.Status
	}
	return failure
}
