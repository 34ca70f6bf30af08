package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

// A summary is what load counted.
type summary struct {
	Asked  int `json:"asked"`
	Failed int `json:"failed"`
	// SlowestMillis is the slowest answer's time, failed ones included.
	SlowestMillis int64 `json:"slowestMillis"`
	// LastError is the newest failure's.
	LastError string `json:"lastError,omitempty"`
}

// A failure is a line of load's output.
type failure struct {
	Time   time.Time `json:"time"`
	Millis int64     `json:"millis"`
	Error  string    `json:"error"`
}

// A loader asks a URL again and again.
type loader struct {
	url, token string
	client     *http.Client

	mu  sync.Mutex
	sum summary
}

// load asks a URL, and tells of each failure as it happens and of all at the
// end.
func load() command {
	flags := pflag.NewFlagSet("load", pflag.ContinueOnError)
	url := flags.String("url", "", "what to ask")
	every := flags.Duration("every", time.Second, "time from one question to the next")
	timeout := flags.Duration("timeout", 5*time.Second, "of one question")
	listen := flags.String("listen", "", "serve the counts so far there, on /summary")
	token := flags.String("token-file", "", "send the bearer token in this file, read anew each time")
	insecure := flags.Bool("insecure", false, "do not verify the server's certificate")
	return command{flags, func(ctx context.Context) error {
		if *url == "" || *every <= 0 {
			return errors.New("--url is empty, or --every is not positive")
		}
		l := &loader{url: *url, token: *token, client: &http.Client{
			Timeout: *timeout,
			// Each question finds its way anew, as those of many clients would.
			Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: *insecure}},
		}}
		return l.run(ctx, *every, *listen)
	}}
}

func (l *loader) run(ctx context.Context, every time.Duration, listen string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	if listen != "" {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /summary", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(l.summary()) })
		go func() { served <- serveHTTP(ctx, listen, mux) }()
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return json.NewEncoder(os.Stdout).Encode(l.summary())
		case err := <-served:
			return err
		case <-t.C:
			l.ask(ctx)
		}
	}
}

// ask asks once; a question that the end cuts short does not count.
func (l *loader) ask(ctx context.Context) {
	began := time.Now()
	err := l.get(ctx)
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	took := time.Since(began).Milliseconds()
	l.sum.Asked++
	l.sum.SlowestMillis = max(l.sum.SlowestMillis, took)
	if err != nil {
		l.sum.Failed++
		l.sum.LastError = err.Error()
		_ = json.NewEncoder(os.Stdout).Encode(failure{began.UTC(), took, err.Error()})
	}
}

func (l *loader) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url, nil)
	if err != nil {
		return err
	}
	if l.token != "" {
		token, err := os.ReadFile(l.token)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+string(token))
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("status %d: %.200s", resp.StatusCode, body)
	}
	return nil
}

func (l *loader) summary() summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum
}
