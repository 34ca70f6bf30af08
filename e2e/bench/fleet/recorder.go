package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// recording is how many nodes are asked at a time for what is recorded.
const recording = 16

// record asks all agents the same, as an aggregator does, and returns the bodies
// of their answers by target and node. Targets are paths with queries.
func record(ctx context.Context, f *fleet, targets []string) ([][][]byte, error) {
	id, err := identity.Load(f.Aggregator, child.ErrorsOnly(), prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	bodies := make([][][]byte, len(targets))
	for i := range bodies {
		bodies[i] = make([][]byte, len(f.Nodes))
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(recording)
	for n, node := range f.Nodes {
		g.Go(func() error {
			over := &http.Transport{DisableCompression: true, DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				dialer := tls.Dialer{Config: id.ClientConfig(identity.Peer{Role: identity.Agent, Name: node.Name})}
				return dialer.DialContext(ctx, network, node.Addr)
			}}
			defer over.CloseIdleConnections()
			for t, target := range targets {
				body, err := fetch(ctx, over, "https://"+node.Addr+target)
				if err != nil {
					return fmt.Errorf("node %s: %w", node.Name, err)
				}
				bodies[t][n] = body
			}
			return nil
		})
	}
	return bodies, g.Wait()
}

func fetch(ctx context.Context, over *http.Transport, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := over.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// target is what an aggregator asks agents when it is asked for path.
func target(path string, resolution time.Duration) (string, error) {
	asked := &asked{}
	w := httptest.NewRecorder()
	apiv1.New(apiv1.Config{Resolution: resolution, Timeout: nodeTimeout}, asked).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK || asked.values == nil {
		return "", fmt.Errorf("%s: status %d: %s", path, w.Code, w.Body)
	}
	return wire.ChunksPath + "?" + asked.values.Encode(), nil
}

// asked is a source that keeps what it was asked, and has nothing.
type asked struct{ values url.Values }

func (a *asked) Ask(_ context.Context, q apiv1.Question) (apiv1.Answer, error) {
	a.values = wire.Values(q.Query)
	return apiv1.Answer{}, nil
}
