package obs

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestServeFinishesRequestsInFlight(t *testing.T) {
	l, err := Listen(t.Context(), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	s := serve(t, Server{Name: "test", Listener: l, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		if r.Context().Err() != nil {
			t.Error("the request was canceled within the grace period")
		}
		_, _ = io.WriteString(w, "done")
	})})

	client := &http.Client{Transport: &http.Transport{}}
	replies := make(chan reply, 1)
	go func() { replies <- fetch(client, "http://"+l.Addr().String()) }()
	<-entered
	s.stop()

	// The port is free before the request has ended.
	for {
		again, err := Listen(t.Context(), "--listen", l.Addr().String())
		if err == nil {
			_ = again.Close()
			break
		}
	}
	select {
	case err := <-s.err:
		t.Fatalf("Serve returned %v with a request in flight", err)
	default:
	}
	close(release)
	if got := <-replies; got.code != http.StatusOK || got.body != "done" || got.err != nil {
		t.Errorf("got %+v", got)
	}
	if err := <-s.err; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeCutsOffAfterTheGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		entered := make(chan struct{})
		var canceled time.Time
		s := serve(t, Server{Name: "test", Listener: l, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
			canceled = time.Now()
		})})
		replies := make(chan reply, 1)
		go func() { replies <- fetch(l.client(), "http://pipe") }()
		<-entered

		stopped := time.Now()
		s.stop()
		if err := <-s.err; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if got := canceled.Sub(stopped); got != DefaultGrace {
			t.Errorf("canceled after %v, want %v", got, DefaultGrace)
		}
		if got := <-replies; got.err == nil {
			t.Errorf("the request that was cut off got %+v", got)
		}
		if !strings.Contains(s.log.String(), `level=WARN msg="requests cut off" server=test handlers=1`) {
			t.Errorf("not logged:\n%s", s.log)
		}
	})
}

func TestServeReportsStuckHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		entered, release := make(chan struct{}), make(chan struct{})
		s := serve(t, Server{Name: "test", Listener: l, Grace: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			close(entered)
			<-release
		})})
		replies := make(chan reply, 1)
		go func() { replies <- fetch(l.client(), "http://pipe") }()
		<-entered

		s.stop()
		err := <-s.err
		if want := "stop test: 1 handlers still run 1s after their requests were canceled"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		close(release)
		<-replies
	})
}

// Not even a TLS peer that connects ahead of its first question may hold up
// the end; http.Server.Shutdown alone takes 5 s for it.
func TestServeStopsAtOnceWithUnusedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		s := serve(t, Server{Name: "test", Listener: l, Handler: http.NotFoundHandler()})
		conn, err := l.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // accepted

		stopped := time.Now()
		s.stop()
		if err := <-s.err; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if took := time.Since(stopped); took > 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		_ = conn.Close()
	})
}

func TestServeTimeouts(t *testing.T) {
	tests := []struct {
		name   string
		server Server
		send   string
		want   time.Duration // until the connection is closed
	}{
		{"half a header", Server{}, "GET / HTTP/1.1\r\n", DefaultReadHeaderTimeout},
		{"no request at all", Server{}, "", DefaultReadHeaderTimeout},
		{"no request at all, but that is fine", Server{ReadHeaderTimeout: time.Hour}, "", time.Hour},
		{"no second request", Server{}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", DefaultIdleTimeout},
		{"a peer's pause", Server{IdleTimeout: time.Hour}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newPipeListener()
				tt.server.Name, tt.server.Listener, tt.server.Handler = "test", l, Alive()
				s := serve(t, tt.server)
				conn, err := l.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if _, err := io.WriteString(conn, tt.send); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, conn) // until it is closed
				if got := time.Since(start); got != tt.want {
					t.Errorf("closed after %v, want %v", got, tt.want)
				}
				s.stop()
				if err := <-s.err; err != nil {
					t.Errorf("Serve: %v", err)
				}
			})
		})
	}
}

// A profile takes 30 s and more.
func TestServeDoesNotCutLongResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		s := serve(t, Server{Name: "debug", Listener: l, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(10 * time.Minute):
				_, _ = io.WriteString(w, "profile")
			case <-r.Context().Done():
			}
		})})
		if got := fetch(l.client(), "http://pipe"); got.body != "profile" {
			t.Errorf("got %+v", got)
		}
		s.stop()
		if err := <-s.err; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestServeBoundsHeaders(t *testing.T) {
	tests := []struct {
		name       string
		max, bytes int // of the server, of the path
		want       int
	}{
		{"default", 0, 15 << 10, http.StatusOK},
		{"more than the default", 0, 32 << 10, http.StatusRequestHeaderFieldsTooLarge},
		{"a larger one", 4 << 20, 2 << 20, http.StatusOK},
		{"more than the larger one", 4 << 20, 5 << 20, http.StatusRequestHeaderFieldsTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newPipeListener()
				s := serve(t, Server{Name: "test", Listener: l, Handler: Alive(), MaxHeaderBytes: tt.max})
				conn, err := l.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				go func() { // the answer may come before all is sent
					_, _ = io.WriteString(conn, "GET /"+strings.Repeat("a", tt.bytes)+" HTTP/1.1\r\nHost: x\r\n\r\n")
				}()
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != tt.want {
					t.Errorf("status %d, want %d", resp.StatusCode, tt.want)
				}
				_ = conn.Close()
				s.stop()
				if err := <-s.err; err != nil {
					t.Errorf("Serve: %v", err)
				}
			})
		})
	}
}

func TestServeLogsPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		s := serve(t, Server{Name: "test", Listener: l, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/abort" {
				panic(http.ErrAbortHandler)
			}
			panic("out of range")
		})})
		for _, path := range []string{"/abort", "/bug"} {
			if got := fetch(l.client(), "http://pipe"+path); got.err == nil {
				t.Errorf("%s: got %+v", path, got)
			}
		}
		s.stop()
		if err := <-s.err; err != nil {
			t.Errorf("Serve: %v", err)
		}
		text := s.log.String()
		if strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, `msg="handler panicked" server=test method=GET path=/bug panic="out of range"`) {
			t.Errorf("want one error, for /bug:\n%s", text)
		}
	})
}

func TestServeIncomplete(t *testing.T) {
	tests := []struct {
		name   string
		server Server
		want   string
	}{
		{"no listener", Server{Name: "test", Handler: Alive()}, `server "test" has no listener`},
		{"no name", Server{Listener: newPipeListener(), Handler: Alive()}, `server "" on pipe lacks a name or a handler`},
		{"no handler, which would be DefaultServeMux", Server{Name: "test", Listener: newPipeListener()}, `server "test" on pipe lacks a name or a handler`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Serve(t.Context(), slog.New(slog.DiscardHandler), tt.server)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if l := tt.server.Listener; l != nil {
				if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("the listener is still open: %v", err)
				}
			}
		})
	}
}

func TestServeListenerFails(t *testing.T) {
	l := newPipeListener()
	s := serve(t, Server{Name: "test", Listener: l, Handler: Alive()})
	_ = l.Close()
	if err := <-s.err; !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "serve test on pipe: ") {
		t.Errorf("got %v", err)
	}
}

func TestServeContextAlreadyDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := newPipeListener()
	if err := Serve(ctx, slog.New(slog.DiscardHandler), Server{Name: "test", Listener: l, Handler: Alive()}); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}
