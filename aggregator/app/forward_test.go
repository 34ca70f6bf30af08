package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/dashboard"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

func TestForwarderFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                           "--to is required, like http://rollcall-aggregator.rollcall:8000",
		"--to rollcall-aggregator":   "--to: ",
		"--to https://a:8000":        "--to: ",
		"--to http://a:8000/api/v1":  "is not http://host:port",
		"--to http://a --listen 0:x": "--listen 0:x",
		"--to http://a stray":        "stray",
	} {
		sub := ForwardDashboard("v1")
		c := cli.Command{Name: "rollcall-aggregator", Config: &Config{}, Subcommands: []cli.Command{sub}}
		var stderr strings.Builder
		code := c.Exec(t.Context(), append([]string{sub.Name}, strings.Fields(args)...), io.Discard, &stderr)
		if code == 0 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, want a line that says %s; got %s", args, code, want, &stderr)
		}
	}
}

// The whole command: its own probes, what it forwards, and a graceful end.
func TestForwardDashboard(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	aggregators := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			close(entered)
			<-release
		}
		_, _ = io.WriteString(w, "aggregator "+r.URL.Path)
	}))
	aggregators.Config.MaxHeaderBytes = dashboard.MaxHeaderBytes
	aggregators.Start()
	defer aggregators.Close()
	l, err := obs.Listen(t.Context(), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	ctx, stop := context.WithCancel(t.Context())
	f := &forwarder{to: aggregators.URL, listen: address}
	ended := make(chan error, 1)
	go func() { ended <- f.run(ctx, slog.New(slog.DiscardHandler)) }()

	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(path string) (int, string) {
		resp, err := client.Get("http://" + address + path)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		code, body := get("/readyz")
		if code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %d %s", code, body)
		}
		time.Sleep(10 * time.Millisecond) // it listens in a goroutine
	}
	long := "/api/v1/dashboard/namespaces/a/pod-list/" + strings.Repeat("b,", 1<<20) + "c/metrics/cpu/usage_rate"
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": "ok\n", "/": "aggregator /", "/api/v1/node": "aggregator /", "//healthz": "aggregator /",
		"/api/v1/dashboard/nodes/a/metrics/cpu/x": "aggregator /api/v1/dashboard/nodes/a/metrics/cpu/x",
		long: "aggregator " + long,
	} {
		if code, body := get(path); code != http.StatusOK || body != want {
			t.Errorf("%.80s: %d %.80q", path, code, body)
		}
	}
	slow := make(chan string)
	go func() {
		_, body := get("/api/v1/dashboard/slow")
		slow <- body
	}()
	<-entered
	stop()
	time.AfterFunc(200*time.Millisecond, func() { close(release) }) // within the grace period
	if body := <-slow; body != "aggregator /api/v1/dashboard/slow" {
		t.Errorf("the answer in flight: %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
