package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

// output collects what the fleet prints, and tells when a line is there.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	want string
	seen chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	if o.want != "" && strings.Contains(o.buf.String(), o.want) {
		o.want = ""
		close(o.seen)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

var curl = regexp.MustCompile(`curl -s (-X POST )?'([^']+)'`)

// What make demo prints works as printed, and Ctrl-C ends it cleanly.
func TestRunPrintsLinesThatWork(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := &output{want: "Ctrl-C", seen: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, Config{
			Nodes: 3, Aggregators: 1, Pods: 8, Resolution: 15 * time.Second, Backfill: 20 * time.Minute, Seed: 1,
			Network: netip.MustParsePrefix("127.46.0.0/16"),
			Listen:  netip.MustParseAddrPort("127.46.255.1:8000"), Admin: netip.MustParseAddrPort("127.46.255.1:8090"),
		}, out, slog.New(slog.DiscardHandler))
	}()
	select {
	case <-out.seen:
	case err := <-done:
		t.Fatalf("ended early: %v\n%s", err, out)
	}
	lines := curl.FindAllStringSubmatch(out.String(), -1)
	if len(lines) != 5 { // four lines, the last one with two commands
		t.Fatalf("%d commands printed:\n%s", len(lines), out)
	}
	for _, l := range lines {
		method := http.MethodGet
		if l[1] != "" {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(ctx, method, l[2], nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !bytes.Contains(got, []byte(`"timestamp"`)) != (method == http.MethodPost) {
			t.Errorf("%s: status %d, %v\n%s", l[0], resp.StatusCode, err, got)
		}
		if l[2] == lines[4][2] && !bytes.Contains(got, []byte(`"outcome":"timeout"`)) {
			t.Errorf("the paused node is not missing:\n%s", got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("at the end: %v", err)
	}
	if !strings.HasSuffix(out.String(), "stopped\n") {
		t.Errorf("no goodbye:\n%s", out)
	}
}

func TestBadFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--nodes 0":                 "--nodes 0",
		"--aggregators 99":          "--aggregators 99",
		"--pods -1":                 "--pods -1",
		"--resolution 7s":           "--resolution",
		"--backfill 99h":            "--backfill 99h",
		"--listen 10.0.0.1:80":      "--listen 10.0.0.1:80",
		"--listen here":             "--listen",
		"--network 10.0.0.0/8":      "--network 10.0.0.0/8",
		"--for -1s":                 "--for -1s",
		"--nodes 0 --backfill -1ns": "--backfill -1ns",
	} {
		var stderr strings.Builder
		cfg := &Config{}
		c := cli.Command{Name: "rollcall-fleet", About: about, Config: cfg, Run: func(context.Context, *slog.Logger) error { return nil }}
		if code := c.Exec(t.Context(), strings.Fields(args), io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, %s", args, code, &stderr)
		}
	}
}
