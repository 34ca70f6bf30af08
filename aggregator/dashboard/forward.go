package dashboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

const (
	// forwardNothing is the answer below Prefix when there are no metrics. Whatever is
	// not 2xx, the Dashboard asks again up to ten times, or gives up on all pods.
	forwardNothing = `{"items":null}`

	// forwardWait bounds the wait for the header of an answer, both attempts
	// together: pages wait for us.
	forwardWait = 2 * time.Second
	// forwardDial bounds connecting, which within a cluster takes milliseconds.
	forwardDial = time.Second
	// forwardSecond is when a second connection is tried without the first one having
	// failed: aggregators answer within a second, so this one is perhaps gone.
	forwardSecond = 1100 * time.Millisecond
	// forwardIdle is how long a connection is kept for the next request; less than
	// aggregators keep it, so that it is never they who end it.
	forwardIdle = time.Minute
	// forwardConns is how many are kept: a page asks twice for each of its rows.
	forwardConns = 64

	// forwardLately is how old the last answer may be for a forwarder that is ready,
	// and forwardProbe how often it asks for one itself if nobody else does.
	forwardLately = 10 * time.Second
	forwardProbe  = 3 * time.Second
	// forwardLogged is how many failures a minute are logged.
	forwardLogged = 3
)

// A Forwarder answers the Kubernetes Dashboard by what aggregators answer. A Service
// selects pods of its own namespace only, so this runs where the Dashboard looks for
// its metrics scraper, and knows nothing but where the aggregators are.
//
// It passes on GET and HEAD below /api/v1/dashboard/, and everything else as a
// question for the text page on "/": nothing else of an aggregator can be reached
// through it. Of a request only its path and what the caller accepts go on. A request
// that fails before an answer began is tried once more, over another connection. If
// there is no answer at all, the Dashboard is told that there are no metrics.
//
// It is safe for concurrent use.
type Forwarder struct {
	proxy *httputil.ReverseProxy
	// kept has connections that are used again, fresh has none.
	kept, fresh *http.Transport
	log         *slog.Logger
	rarely      *obs.Rarely

	mu       sync.Mutex
	answered time.Time // the last time that an aggregator did
	err      error     // of the last attempt; nil if that was an answer
}

// NewForwarder forwards to an address as [ForwardTarget] returns it.
func NewForwarder(to *url.URL, log *slog.Logger) *Forwarder {
	dial := (&net.Dialer{Timeout: forwardDial, KeepAliveConfig: obs.KeepAlive()}).DialContext
	f := &Forwarder{
		// No proxy of the environment: aggregators are in the cluster. And what is
		// compressed stays so.
		kept: &http.Transport{
			DialContext: dial, DisableCompression: true, IdleConnTimeout: forwardIdle,
			MaxIdleConns: forwardConns, MaxIdleConnsPerHost: forwardConns,
		},
		fresh:  &http.Transport{DialContext: dial, DisableCompression: true, DisableKeepAlives: true},
		log:    log,
		rarely: obs.NewRarely(forwardLogged, time.Minute),
		err:    errors.New("not asked yet"),
	}
	f.proxy = &httputil.ReverseProxy{
		Transport: f,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = &url.URL{Scheme: to.Scheme, Host: to.Host, Path: "/"}
			if forwarded(r.In.URL) {
				r.Out.URL.Path, r.Out.URL.RawPath = r.In.URL.Path, r.In.URL.RawPath // as it came, escapes included
			}
			r.Out.Host = to.Host
			r.Out.Body, r.Out.ContentLength = nil, 0
			r.Out.Header = http.Header{}
			for _, name := range []string{"Accept", "Accept-Encoding", "User-Agent"} {
				if values, ok := r.In.Header[name]; ok {
					r.Out.Header[name] = values
				}
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del("Retry-After")
			return nil
		},
		ErrorHandler: f.sorry,
		ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return f
}

// ForwardTarget reads where to forward to: http://host:port and no path.
func ForwardTarget(to string) (*url.URL, error) {
	u, err := url.Parse(to)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" || u.Hostname() == "" || strings.TrimRight(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("%q is not http://host:port, like http://rollcall-aggregator.rollcall:8000", to)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// forwarded tells whether a path is one that goes on as it is. One with ".." in it
// might lead elsewhere.
func forwarded(u *url.URL) bool {
	return strings.HasPrefix(u.Path, Prefix) && !strings.Contains(u.Path+"/", "/../")
}

// ServeHTTP implements [http.Handler].
func (f *Forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	f.proxy.ServeHTTP(w, r)
}

// sorry answers for aggregators of which none did.
func (f *Forwarder) sorry(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the caller is gone
	}
	if skipped, ok := f.rarely.Allow("failed"); ok {
		f.log.Warn("no metrics from any aggregator", "err", err, "skipped", skipped)
	}
	w.Header().Set("Cache-Control", "no-store")
	if forwarded(r.URL) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, forwardNothing)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "Rollcall, for the Kubernetes Dashboard.\n\nNo metrics from any aggregator: %v\n", err)
}

// Ready is nil if an aggregator has answered in the last seconds, as far as Run sees
// to it; otherwise it says why none does.
func (f *Forwarder) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil || time.Since(f.answered) < forwardLately {
		return nil
	}
	return fmt.Errorf("no aggregator answers: %w; see --to, and which namespaces the NetworkPolicies of aggregators let in", f.err)
}

// Run asks aggregators whether they are there, for Ready, until ctx ends. Then it
// closes connections that nobody uses.
func (f *Forwarder) Run(ctx context.Context, to *url.URL) {
	defer f.kept.CloseIdleConnections()
	tick := time.NewTicker(forwardProbe)
	defer tick.Stop()
	for {
		if !f.heardSince(time.Now().Add(-forwardProbe)) {
			f.probe(ctx, to)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *Forwarder) heardSince(t time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err == nil && f.answered.After(t)
}

// probe asks one aggregator, for what RoundTrip remembers.
func (f *Forwarder) probe(ctx context.Context, to *url.URL) {
	req := (&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: to.Scheme, Host: to.Host, Path: "/healthz"}, Header: http.Header{}}).WithContext(ctx)
	if resp, err := f.RoundTrip(req); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<10)) // to use the connection again
		_ = resp.Body.Close()
	}
}

// RoundTrip implements [http.RoundTripper]. Its answers are 2xx. An attempt that fails
// is followed by one over a new connection, which the aggregators' Service may lead to
// another one; so is an attempt that takes longer than aggregators do.
func (f *Forwarder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := f.attempts(req)
	if req.Context().Err() != nil {
		return resp, err // says nothing about aggregators
	}
	heard := err
	if errors.As(err, new(notOK)) {
		heard = nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err = heard; heard == nil {
		f.answered = time.Now()
	}
	return resp, err
}

func (f *Forwarder) attempts(req *http.Request) (*http.Response, error) {
	done := make(chan *forwardAttempt, 2)
	var begun []*forwardAttempt
	begin := func(over http.RoundTripper) {
		ctx, cancel := context.WithCancel(req.Context())
		a := &forwardAttempt{cancel: cancel}
		begun = append(begun, a)
		go func() {
			a.resp, a.err = answerOf(over, req.Clone(ctx)) //nolint:bodyclose // whoever takes the attempt closes it
			done <- a
		}()
	}
	second, last := time.NewTimer(forwardSecond), time.NewTimer(forwardWait)
	defer second.Stop()
	defer last.Stop()

	begin(f.kept)
	var winner *forwardAttempt
	var failed error // the last attempt that did
	ended, late := 0, false
	for winner == nil && !late && ended < len(begun) {
		select {
		case a := <-done:
			ended++
			if a.err == nil {
				winner = a
				break
			}
			failed = a.err
			if len(begun) == 1 && req.Context().Err() == nil {
				begin(f.fresh)
			}
		case <-second.C:
			if len(begun) == 1 {
				begin(f.fresh)
			}
		case <-last.C:
			late = true
		}
	}
	for _, a := range begun {
		if a != winner {
			a.cancel()
		}
	}
	for ; ended < len(begun); ended++ {
		if a := <-done; a.err == nil { // the other one was faster, or the wait over
			_ = a.resp.Body.Close()
		}
	}
	switch {
	case winner != nil:
		winner.resp.Body = cancelOnClose{winner.resp.Body, winner.cancel}
		return winner.resp, nil
	case !late:
		return nil, failed
	case failed != nil:
		return nil, fmt.Errorf("no answer within %v, and before that: %w", forwardWait, failed)
	}
	return nil, fmt.Errorf("no answer within %v", forwardWait)
}

// A forwardAttempt is one of the at most two to get an answer.
type forwardAttempt struct {
	resp   *http.Response // 2xx
	err    error          // or why there is none
	cancel context.CancelFunc
}

// notOK is the status of an answer that is not 2xx.
type notOK struct{ status string }

// Error implements error.
func (e notOK) Error() string { return "the answer was " + e.status }

func answerOf(over http.RoundTripper, req *http.Request) (*http.Response, error) {
	resp, err := over.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		_ = resp.Body.Close()
		return nil, notOK{resp.Status}
	}
	return resp, nil
}

// cancelOnClose ends a request with the reading of its answer.
type cancelOnClose struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements [io.Closer].
func (c cancelOnClose) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}
