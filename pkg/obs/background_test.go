package obs

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
)

// A logBuffer collects a logger's lines at debug level.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// A served is a server that runs in the background of a test.
type served struct {
	stop context.CancelFunc
	err  chan error
	log  *logBuffer
}

func serve(t *testing.T, s Server) *served {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &served{stop: stop, err: make(chan error, 1), log: &logBuffer{}}
	go func() { r.err <- Serve(ctx, r.log.logger(), s) }()
	return r
}

// A reply is how a request ended.
type reply struct {
	code int
	body string
	err  error
}

func fetch(c *http.Client, url string) reply {
	resp, err := c.Get(url)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(body), err}
}
