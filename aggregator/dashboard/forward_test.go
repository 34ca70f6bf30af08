package dashboard

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// forwarding is a forwarder in front of a stand-in for aggregators.
type forwarding struct {
	*testing.T
	*Forwarder
	to  *url.URL
	url string
	log *lines
}

func forward(t *testing.T, aggregators http.Handler) *forwarding {
	t.Helper()
	backend := httptest.NewUnstartedServer(aggregators)
	backend.Config.MaxHeaderBytes = 4 << 20
	backend.Start()
	t.Cleanup(backend.Close)
	return forwardTo(t, backend.URL)
}

func forwardTo(t *testing.T, address string) *forwarding {
	t.Helper()
	to, err := ForwardTarget(address)
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	f := &forwarding{T: t, Forwarder: NewForwarder(to, slog.New(slog.NewTextHandler(log, nil))), to: to, log: log}
	front := httptest.NewUnstartedServer(f.Forwarder)
	front.Config.MaxHeaderBytes = 4 << 20
	front.Start()
	t.Cleanup(f.kept.CloseIdleConnections)
	t.Cleanup(front.Close)
	f.url = front.URL
	return f
}

// get asks with a header, "Name: value", if there is one, and follows no redirect.
func (f *forwarding) get(method, path string, header ...string) (*http.Response, string) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, f.url+path, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.Fatal(err)
	}
	return resp, string(body)
}

// echo answers what was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Retry-After", "5")
	fmt.Fprintf(w, "%s %s %v", r.Method, r.RequestURI, len(r.Header))
	for _, name := range []string{"Accept", "Accept-Encoding", "Authorization", "Cookie", "Range", "If-None-Match", "X-Remote-User", "Upgrade"} {
		if v := r.Header.Get(name); v != "" {
			fmt.Fprintf(w, " %s=%s", name, v)
		}
	}
}

func TestForwardPaths(t *testing.T) {
	f := forward(t, http.HandlerFunc(echo))
	for path, want := range map[string]string{
		"/api/v1/dashboard/nodes/node-1/metrics/cpu/usage_rate":             "/api/v1/dashboard/nodes/node-1/metrics/cpu/usage_rate",
		"/api/v1/dashboard/namespaces/a/pod-list/b,c/metrics/memory/usage":  "/api/v1/dashboard/namespaces/a/pod-list/b,c/metrics/memory/usage",
		"/api/v1/dashboard/namespaces/a/pod-list/b%2Cc/metrics/cpu/x%2fy":   "/api/v1/dashboard/namespaces/a/pod-list/b%2Cc/metrics/cpu/x%2fy",
		"/api/v1/dashboard/nodes//metrics/cpu/x":                            "/api/v1/dashboard/nodes//metrics/cpu/x",
		"/api/v1/dashboard/nodes/a/metrics/cpu/usage_rate?timeout=32s&a=%z": "/api/v1/dashboard/nodes/a/metrics/cpu/usage_rate",
		"/api/v1/dashboard/other":                                           "/api/v1/dashboard/other",
		"/":                                                                 "/",
		"/teapot":                                                           "/",
		"/api/v1/dashboard":                                                 "/",
		"/api/v1/dashboards/x":                                              "/",
		"/api/v1/node":                                                      "/",
		"/api/v1/pod/kube-system?window=1m":                                 "/",
		"/readyz":                                                           "/", // ours is somebody else's; an aggregator's must not be reached
		"/debug/roster":                                                     "/",
		"//api/v1/node":                                                     "/",
		"/api/v1/dashboard/../node":                                         "/",
		"/api/v1/dashboard/%2e%2e/node":                                     "/",
		"/api/v1/dashboard/..%2fnode":                                       "/",
		"/api/v1/dashboard/nodes/..":                                        "/",
		"/api/v1/dashboard/nodes/a..b/x/../../":                             "/",
	} {
		t.Run(path, func(t *testing.T) {
			f := *f
			f.T = t
			resp, body := f.get(http.MethodGet, path)
			if resp.StatusCode != http.StatusOK || !strings.HasPrefix(body, "GET "+want+" ") {
				t.Errorf("status %d, asked %q, want %s", resp.StatusCode, body, want)
			}
			if resp.Header.Get("Retry-After") != "" {
				t.Error("Retry-After makes the Dashboard try eleven times")
			}
		})
	}
}

func TestForwardMethods(t *testing.T) {
	f := forward(t, http.HandlerFunc(echo))
	if resp, body := f.get(http.MethodHead, "/api/v1/dashboard/nodes/a/metrics/cpu/x"); resp.StatusCode != http.StatusOK || body != "" {
		t.Errorf("HEAD: %d %q", resp.StatusCode, body)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if resp, _ := f.get(method, "/api/v1/dashboard/nodes/a/metrics/cpu/x"); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, resp.StatusCode)
		}
	}
}

// Tokens of callers stay here, and nothing turns the answer into something else.
func TestForwardHeaders(t *testing.T) {
	f := forward(t, http.HandlerFunc(echo))
	_, body := f.get(http.MethodGet, "/api/v1/dashboard/x", "Accept: application/vnd.kubernetes.protobuf,application/json",
		"Accept-Encoding: gzip", "Authorization: Bearer secret", "Cookie: a=b", "Range: bytes=0-1", "If-None-Match: x",
		"X-Remote-User: admin", "Connection: Upgrade", "Upgrade: websocket")
	if want := "GET /api/v1/dashboard/x 3 Accept=application/vnd.kubernetes.protobuf,application/json Accept-Encoding=gzip"; body != want {
		t.Errorf("%q, want %q", body, want)
	}
}

func TestForwardKeepsCompression(t *testing.T) {
	f := forward(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "zipped")
		_ = z.Close()
	}))
	resp, body := f.get(http.MethodGet, "/api/v1/dashboard/x", "Accept-Encoding: gzip")
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v, %v", err, resp.Header)
	}
	if text, err := io.ReadAll(z); string(text) != "zipped" {
		t.Errorf("%q, %v", text, err)
	}
}

// All pods of a large namespace are in one path.
func TestForwardLongPath(t *testing.T) {
	f := forward(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }))
	path := "/api/v1/dashboard/namespaces/shop/pod-list/" + strings.Repeat("checkout-6d5f9c7b8d-x2x7k,", 80_000) + "z/metrics/cpu/usage_rate"
	if resp, body := f.get(http.MethodGet, path); resp.StatusCode != http.StatusOK || body != path {
		t.Errorf("status %d, %d of %d bytes", resp.StatusCode, len(body), len(path))
	}
}

// What an aggregator sends is passed on before it is complete.
func TestForwardStreams(t *testing.T) {
	release := make(chan struct{})
	f := forward(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 64<<10))
		_ = http.NewResponseController(w).Flush()
		<-release
	}))
	resp, err := someone(t).Get(f.url + "/api/v1/dashboard/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 32<<10)); err != nil {
		t.Error(err)
	}
	close(release)
	if rest, err := io.ReadAll(resp.Body); len(rest) != 32<<10 || err != nil {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
}

// first lets handlers take turns: the first request has one, all others another one.
func first(one, others http.HandlerFunc) http.HandlerFunc {
	var asked atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			one(w, r)
			return
		}
		others(w, r)
	}
}

func abort(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "busy", http.StatusTooManyRequests)
}

// One failure is not seen; the second attempt has a connection of its own.
func TestForwardTriesAgain(t *testing.T) {
	for name, one := range map[string]http.HandlerFunc{"reset": abort, "silent": silent, "refused": refuse} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			peers := map[string]bool{}
			once := first(one, echo)
			f := forward(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				peers[r.RemoteAddr] = true
				mu.Unlock()
				once(w, r)
			}))
			start := time.Now()
			resp, body := f.get(http.MethodGet, "/api/v1/dashboard/x")
			if resp.StatusCode != http.StatusOK || !strings.HasPrefix(body, "GET /api/v1/dashboard/x") {
				t.Errorf("status %d, %q", resp.StatusCode, body)
			}
			if took := time.Since(start); took > forwardWait {
				t.Errorf("took %v", took)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(peers) != 2 {
				t.Errorf("%d connections, want 2", len(peers))
			}
			if f.log.text() != "" {
				t.Errorf("logged %s", f.log.text())
			}
		})
	}
}

// When nothing helps, the Dashboard is told that there are no metrics, and people why.
func TestForwardNothing(t *testing.T) {
	nobody := "http://" + freeAddress(t)
	for name, make := range map[string]func(*testing.T) *forwarding{
		"nobody there": func(t *testing.T) *forwarding { return forwardTo(t, nobody) },
		"resets":       func(t *testing.T) *forwarding { return forward(t, http.HandlerFunc(abort)) },
		"silent":       func(t *testing.T) *forwarding { return forward(t, http.HandlerFunc(silent)) },
		"busy":         func(t *testing.T) *forwarding { return forward(t, http.HandlerFunc(refuse)) },
		"an old one":   func(t *testing.T) *forwarding { return forward(t, http.NotFoundHandler()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := make(t)
			start := time.Now()
			resp, body := f.get(http.MethodGet, "/api/v1/dashboard/nodes/a/metrics/cpu/usage_rate")
			if resp.StatusCode != http.StatusOK || body != forwardNothing || resp.Header.Get("Retry-After") != "" ||
				resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %v %q", resp.StatusCode, resp.Header, body)
			}
			if took := time.Since(start); took > forwardWait+time.Second {
				t.Errorf("took %v", took)
			}
			resp, body = f.get(http.MethodGet, "/")
			if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") ||
				!strings.Contains(body, "No metrics from any aggregator: ") {
				t.Errorf("%d %v %q", resp.StatusCode, resp.Header, body)
			}
			for range 20 {
				if name != "silent" {
					f.get(http.MethodGet, "/api/v1/dashboard/x")
				}
			}
			if n := strings.Count(f.log.text(), "level=WARN"); n == 0 || n > forwardLogged {
				t.Errorf("%d lines logged:\n%s", n, f.log.text())
			}
		})
	}
}

// Who goes away is no failure, and nobody asks on for him.
func TestForwardCallerGone(t *testing.T) {
	asked, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	f := forward(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/api/v1/dashboard/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked
		cancel()
	}()
	if resp, err := someone(t).Do(req); err == nil {
		_ = resp.Body.Close()
		t.Errorf("status %d", resp.StatusCode)
	}
	<-ended
	if f.log.text() != "" {
		t.Errorf("logged %s", f.log.text())
	}
}

func TestForwardReady(t *testing.T) {
	well := atomic.Bool{}
	f := forward(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !well.Load():
			abort(w, r)
		case r.URL.Path != "/healthz":
			http.NotFound(w, r) // an answer, too
		}
	}))
	if err := f.Ready(); err == nil || !strings.Contains(err.Error(), "not asked yet") {
		t.Errorf("before anything was asked: %v", err)
	}
	f.probe(t.Context(), f.to)
	if err := f.Ready(); err == nil || !strings.Contains(err.Error(), "NetworkPolicies") {
		t.Errorf("nobody answers: %v", err)
	}
	well.Store(true)
	f.probe(t.Context(), f.to)
	if err := f.Ready(); err != nil {
		t.Errorf("one answers: %v", err)
	}
	well.Store(false)
	f.probe(t.Context(), f.to)
	if err := f.Ready(); err != nil {
		t.Errorf("one answered lately: %v", err)
	}
	f.mu.Lock()
	f.answered = f.answered.Add(-forwardLately)
	f.mu.Unlock()
	if err := f.Ready(); err == nil {
		t.Error("nobody answered lately")
	}
	well.Store(true)
	f.get(http.MethodGet, "/api/v1/dashboard/x")
	if err := f.Ready(); err != nil {
		t.Errorf("one answered that it does not know the path: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	f.probe(gone, f.to)
	if err := f.Ready(); err != nil {
		t.Errorf("a request that was given up: %v", err)
	}
}

// Run asks at once, and ends with its context.
func TestForwardRun(t *testing.T) {
	asked := make(chan string, 100)
	f := forward(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		f.Forwarder.Run(ctx, f.to)
		close(done)
	}()
	if path := <-asked; path != "/healthz" {
		t.Errorf("asked %s", path)
	}
	cancel()
	<-done
}

func TestForwardTarget(t *testing.T) {
	for to, ok := range map[string]bool{
		"http://rollcall-aggregator.rollcall:8000": true, "http://127.0.0.1:8000/": true, "http://aggregators": true,
		"": false, "rollcall-aggregator:8000": false, "https://a:8000": false, "http://a:8000/api": false,
		"http://": false, "http://u:p@a": false, "http://a?b": false, "http://a:b": false,
	} {
		u, err := ForwardTarget(to)
		if (err == nil) != ok || ok && strings.TrimRight(to, "/") != u.String() {
			t.Errorf("%s: %v, %v", to, u, err)
		}
	}
}

// freeAddress is one where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// lines are what was logged.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// someone is a client with connections of its own.
func someone(t *testing.T) *http.Client {
	over := &http.Transport{}
	t.Cleanup(over.CloseIdleConnections)
	return &http.Client{Transport: over}
}
