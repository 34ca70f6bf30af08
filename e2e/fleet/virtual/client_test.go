package virtual

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// A client asks one agent as an aggregator does.
type client struct {
	t    *testing.T
	url  string
	http *http.Client
}

func (f *testFleet) client(t *testing.T, node int) *client {
	return f.clientAt(t, node, f.agents[node].addr, f.aggregator)
}

// clientAt expects a node at an address.
func (f *testFleet) clientAt(t *testing.T, node int, addr netip.Addr, as *identity.Source) *client {
	tr := &http.Transport{TLSClientConfig: as.ClientConfig(identity.Peer{Role: identity.Agent, Name: nodeName(node)}), DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t, fmt.Sprintf("https://%v", netip.AddrPortFrom(addr, PeerPort)), &http.Client{Transport: tr}}
}

// An answered question.
type answered struct {
	node   string
	known  bool
	chunks []chunk.Chunk
	slots  map[int64]bool
	bytes  int
}

func (c *client) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return nil, err
	}
	return c.http.Do(req)
}

func chunksPath(q model.Query) string { return wire.ChunksPath + "?" + wire.Values(q).Encode() }

func latestPath(to int64) string {
	return wire.LatestPath + "?" + wire.Latest{To: to}.Values().Encode()
}

// ask reads an answer to its end.
func (c *client) ask(ctx context.Context, path string) (answered, error) {
	a := answered{slots: map[int64]bool{}}
	resp, err := c.get(ctx, path)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, resp.Body)
		return a, fmt.Errorf("status %d", resp.StatusCode)
	}
	if kind := resp.Header.Get("Content-Type"); kind != wire.ContentType {
		return a, fmt.Errorf("an answer of type %s", kind)
	}
	r, err := wire.NewReader(resp.Body, resp.ContentLength)
	if err != nil {
		return a, err
	}
	a.node = r.Header.GetNode()
	var d chunk.Decoder
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			a.known = r.End.GetKnown()
			if text := r.End.GetError(); text != "" {
				return a, errors.New(text)
			}
			return a, nil
		}
		if err != nil {
			return a, err
		}
		a.bytes += len(item.Chunk)
		if item.Chunk == nil {
			continue
		}
		parsed, err := chunk.Parse(item.Chunk)
		if err != nil {
			return a, err
		}
		a.chunks = append(a.chunks, parsed)
		for d.Reset(parsed); d.Next(); {
			a.slots[d.Row().Slot] = true
		}
		if d.Err() != nil {
			return a, d.Err()
		}
	}
}

// must is ask where no failure is expected.
func (c *client) must(path string) answered {
	c.t.Helper()
	a, err := c.ask(c.t.Context(), path)
	if err != nil {
		c.t.Fatalf("%s%s: %v", c.url, path, err)
	}
	return a
}
