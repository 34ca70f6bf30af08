package member

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, third byte) *roster.Roster {
	t.Helper()
	r, err := roster.Start(t.Context(), roster.Config{
		Name: "aggregator-1", Role: identity.Aggregator, Bind: netip.AddrFrom4([4]byte{127, 50, third, 1}), Port: 7946,
		Timing: roster.LocalTiming(),
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// entered enters at once.
func entered(r *roster.Roster) func(context.Context) (*roster.Roster, error) {
	return func(context.Context) (*roster.Roster, error) { return r, nil }
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := Listen(t.Context(), nil, Address{"--a", "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	return l[0]
}

func TestRunServesUntilItHasLeft(t *testing.T) {
	for name, cause := range map[string]error{"gracefully": nil, "as a crash": ErrCrash} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			l, done := listen(t), make(chan error, 1)
			r := start(t, 1)
			go func() {
				done <- Run(ctx, entered(r), slog.New(slog.DiscardHandler), obs.Server{Name: "x", Listener: l, Handler: http.NotFoundHandler()})
			}()
			web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := web.Get("http://" + l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			_ = resp.Body.Close()
			cancel(cause)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if Crashed(ctx) != (cause != nil) {
				t.Errorf("Crashed = %v", Crashed(ctx))
			}
		})
	}
}

// A server that cannot serve ends the whole process, and says which.
func TestRunEndsWithAServer(t *testing.T) {
	l := listen(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), entered(start(t, 2)), slog.New(slog.DiscardHandler),
		obs.Server{Name: "broken", Listener: l, Handler: http.NotFoundHandler()},
		obs.Server{Name: "good", Listener: listen(t), Handler: http.NotFoundHandler()})
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("error %v", err)
	}
}

func TestListenOpensAllOrNone(t *testing.T) {
	first := listen(t)
	_, err := Listen(t.Context(), nil, Address{"--a", "127.0.0.1:0"}, Address{"--b", first.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "--b") {
		t.Fatalf("error %v", err)
	}
	var wrapped net.Listener
	l, err := Listen(t.Context(), func(l net.Listener) net.Listener { wrapped = l; return l }, Address{"--a", "127.0.0.1:0"})
	if err != nil || wrapped != l[0] {
		t.Errorf("wrap was not used: %v", err)
	}
	if err := errors.Join(Close(l), first.Close()); err != nil {
		t.Error(err)
	}
}

// Whoever cannot enter the roster serves meanwhile, and ends with the reason, or
// without one when told to stop.
func TestRunWhileEntering(t *testing.T) {
	for name, broken := range map[string]error{"stopped": nil, "broken": errors.New("no key")} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			l, done, fail := listen(t), make(chan error, 1), make(chan struct{})
			go func() {
				done <- Run(ctx, func(ctx context.Context) (*roster.Roster, error) {
					select {
					case <-fail:
						return nil, broken
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}, slog.New(slog.DiscardHandler), obs.Server{Name: "x", Listener: l, Handler: http.NotFoundHandler()})
			}()
			web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := web.Get("http://" + l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if broken != nil {
				close(fail)
			} else {
				cancel()
			}
			if err := <-done; !errors.Is(err, broken) || broken == nil && err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	}
}
