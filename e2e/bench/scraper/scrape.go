package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// A scraper asks all nodes.
type scraper struct {
	nodes   []node
	client  *http.Client
	buffers sync.Pool // of *bytes.Buffer, one for each text that is being read
}

func newScraper(q request, client *http.Client) *scraper {
	return &scraper{nodes: q.Nodes, client: client, buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

// answer is what one node's goroutine hands over.
type answer struct {
	batch *batch
	size  int64
	err   error
}

// scrape is one cycle over all nodes. Nodes that do not answer are left out, and
// the error is that of one of them.
func (s *scraper) scrape(ctx context.Context, spread time.Duration) (*batch, int64, error) {
	answers := make(chan answer, len(s.nodes))
	for _, n := range s.nodes {
		go func() {
			time.Sleep(time.Duration(rand.Int64N(int64(spread) + 1)))
			b, size, err := s.node(ctx, n)
			if err != nil {
				err = fmt.Errorf("node %s: %w", n.Name, err)
			}
			answers <- answer{b, size, err}
		}()
	}
	all := newBatch()
	var size int64
	var failed error
	for range s.nodes {
		a := <-answers
		if a.err != nil {
			failed = a.err
			continue
		}
		all.merge(a.batch)
		size += a.size
	}
	return all, size, failed
}

// node fetches and parses one node's text.
func (s *scraper) node(ctx context.Context, n node) (*batch, int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL, nil)
	if err != nil {
		return nil, 0, err
	}
	now := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("status %s", resp.Status)
	}
	text := s.buffers.Get().(*bytes.Buffer)
	defer s.buffers.Put(text)
	text.Reset()
	if _, err := io.Copy(text, resp.Body); err != nil {
		return nil, 0, err
	}
	b, err := decode(text.Bytes(), now, n.Name)
	return b, int64(text.Len()), err
}
