package dashboard

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// directTimeout is what the Dashboard's client of a host has by default. It is also in
// each of its requests, as ?timeout=32s.
const directTimeout = 32 * time.Second

// A Client asks as the Dashboard does. It is safe for concurrent use.
type Client struct {
	// ask begins a question of the client.
	ask func() *rest.Request
	web *http.Client
	// root is the URL of the target's /, without the slash.
	root string
	told *retries
}

// Direct asks a host, such as http://127.0.0.1:8000, as with --sidecar-host.
func Direct(host string) (*Client, error) {
	over := http.DefaultTransport.(*http.Transport).Clone()
	over.MaxIdleConnsPerHost = 100
	return direct(host, over)
}

// Within asks a handler of this process.
func Within(h http.Handler) (*Client, error) { return direct("http://within", within{h}) }

func direct(host string, over http.RoundTripper) (*Client, error) {
	told := &retries{}
	cfg := &rest.Config{
		Host: host, Transport: over, WrapTransport: told.wrap, Timeout: directTimeout, QPS: -1,
		ContentConfig: rest.ContentConfig{NegotiatedSerializer: scheme.Codecs.WithoutConversion()},
	}
	r, err := rest.UnversionedRESTClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", host, err)
	}
	return newClient(func() *rest.Request { return r.Get() }, r.Client, told), nil
}

// Proxied asks through the API server's proxy of a Service, whose port has no name,
// with the rights of whoever to is.
func Proxied(to *rest.Config, namespace, service string) (*Client, error) {
	told := &retries{}
	cfg := rest.CopyConfig(to)
	cfg.QPS = -1
	cfg.ContentType = runtime.ContentTypeProtobuf // which it prefers in Accept, too
	cfg.Wrap(told.wrap)
	web, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	core, err := typedcore.NewForConfigAndClient(cfg, web)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	return newClient(func() *rest.Request {
		return core.RESTClient().Get().Namespace(namespace).Resource("services").Name(service).SubResource("proxy")
	}, web, told), nil
}

func newClient(ask func() *rest.Request, web *http.Client, told *retries) *Client {
	// Without a deadline of its own: root is for questions of checks.
	root := ask().Timeout(0).URL()
	root.RawQuery = ""
	return &Client{ask: ask, web: web, root: strings.TrimSuffix(root.String(), "/"), told: told}
}

// Close closes the connections that are idle.
func (c *Client) Close() { utilnet.CloseIdleConnectionsFor(c.web.Transport) }

// Get asks for a path, such as /api/v1/dashboard/nodes/node-1/metrics/cpu/usage_rate.
// A status that is not 2xx is an error, as is what the API server has to say instead.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	return c.ask().Suffix(path).DoRaw(ctx)
}

// Healthy is what the Dashboard asks at its start and every 30 s. After one error it
// shows no metrics before the next success.
func (c *Client) Healthy(ctx context.Context) error {
	_, err := c.Get(ctx, "/healthz")
	return err
}

// RetryAfters is how many answers so far had a Retry-After. After one with a 429 or 5xx
// the Dashboard's client asks up to ten times more, and its page waits.
func (c *Client) RetryAfters() int { return int(c.told.seen.Load()) }

// A Response is all that came back.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // decompressed, if the client asked for that by itself
}

// Do sends a request that the Dashboard would not: a method, a path that is escaped
// already, perhaps with a query, and headers.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header) (Response, error) {
	u, err := url.Parse(c.root + path)
	if err != nil {
		return Response{}, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return Response{}, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := c.web.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return Response{resp.StatusCode, resp.Header, body}, err
}

// retries counts answers that ask for a retry.
type retries struct{ seen atomic.Int64 }

func (r *retries) wrap(over http.RoundTripper) http.RoundTripper { return &watched{over, r} }

type watched struct {
	over http.RoundTripper
	told *retries
}

// RoundTrip implements [http.RoundTripper].
func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.over.RoundTrip(r)
	if err == nil && resp.Header.Get("Retry-After") != "" {
		w.told.seen.Add(1)
	}
	return resp, err
}

// WrappedRoundTripper is for those who look for the transport below.
func (w *watched) WrappedRoundTripper() http.RoundTripper { return w.over }
