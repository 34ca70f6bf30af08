package kubelet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const smallDocument = `{"node":{"cpu":{"usageNanoCores":1}},"pods":[]}`

func TestFetch(t *testing.T) {
	// The loopback is never proxied, so the environment is only half the proof.
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	light, full := recordedLight(t), recordedFull(t)[0]
	var connections sync.Map // by remote address
	cfg, _ := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		connections.Store(r.RemoteAddr, true)
		for name, want := range map[string]string{
			"Accept": "application/json", "Accept-Encoding": "", "Authorization": "", "User-Agent": "rollcall-agent",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if r.Proto != "HTTP/1.1" || r.TLS.NegotiatedProtocol != "http/1.1" || r.TLS.ServerName != testNode || r.Method != http.MethodGet {
			t.Errorf("%s %s, TLS %q for %q", r.Method, r.Proto, r.TLS.NegotiatedProtocol, r.TLS.ServerName)
		}
		switch r.URL.String() {
		case "/stats/summary":
			w.Write(full)
		case "/stats/summary?only_cpu_and_memory=true":
			w.Write(light)
		default:
			t.Errorf("asked for %s", r.URL)
		}
	})
	client := startClient(t, cfg)
	if client.transport.Proxy != nil {
		t.Error("the transport has a proxy")
	}
	for _, form := range []Form{Light, Full, Light} {
		before := time.Now()
		answer := wantOK(t, client, form)
		body := light
		if form == Full {
			body = full
		}
		if answer.Form != form || answer.Status != 200 || !bytes.Equal(answer.Body, body) || len(answer.Skipped) > 0 {
			t.Errorf("%v: status %d, %d bytes, skipped %q", answer.Form, answer.Status, len(answer.Body), answer.Skipped)
		}
		if answer.At.Before(before) || answer.Took <= 0 || answer.Took > time.Since(before) {
			t.Errorf("%v: at %v, took %v", form, answer.At, answer.Took)
		}
		want, err := judge(body)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, flatten(t, answer.Scrape), want, false)
	}
	n := 0
	connections.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d connections for three requests, want 1", n)
	}
}

func TestFetchFailures(t *testing.T) {
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	// raw answers in bytes of its own, and hangs up.
	raw := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(buffered, answer)
			buffered.Flush()
		}
	}
	const forbidden = "Forbidden (user=system:serviceaccount:a:b, verb=get, resource=nodes, subresource(s)=[stats])"
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		form    Form
		kind    Kind
		status  int
		body    string // start of the answer's
		parts   []string
	}{
		"401":               {say(401, "Unauthorized\n"), Light, Unauthorized, 401, "Unauthorized", []string{"no credential at all", `"Unauthorized"`}},
		"403":               {say(403, forbidden), Light, Forbidden, 403, "Forbidden (", []string{"serviceaccount:a:b", "verb get on the resource nodes/stats"}},
		"404":               {say(404, "404 page not found\n"), Full, Failed, 404, "404", []string{"--kubelet-port"}},
		"500 to full":       {say(500, "failed to get rootfs info\ntrace"), Full, Failed, 500, "failed", []string{`rootfs info"`, "light form"}},
		"500 to light":      {say(500, "internal"), Light, Failed, 500, "internal", []string{"kubelet's log"}},
		"503, endless line": {say(503, strings.Repeat("x", 1<<20)), Light, Failed, 503, "xxx", nil},
		"204":               {say(204, ""), Light, Failed, 204, "", nil},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, Light, Failed, 302, "", []string{"redirects are not followed"}},
		"garbage":             {say(200, "<html>hello"), Light, Malformed, 200, "<html>", []string{"not a JSON object", "<html>"}},
		"empty":               {say(200, ""), Light, Malformed, 200, "", nil},
		"another document":    {say(200, `{"kind":"PodList"}`), Light, Malformed, 200, `{"kind"`, []string{"node"}},
		"two documents":       {say(200, smallDocument+smallDocument), Light, Malformed, 200, `{"node"`, []string{"content after"}},
		"cut by length":       {raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + smallDocument), Light, Truncated, 200, smallDocument, []string{"47 bytes"}},
		"length of 8 EiB":     {raw("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n{"), Light, Truncated, 200, "{", nil},
		"cut in chunks":       {raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"nod"), Light, Truncated, 200, `{"nod`, []string{"5 bytes"}},
		"cut between chunks":  {raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), Light, Truncated, 200, "{}", nil},
		"nothing":             {raw(""), Light, Unreachable, 0, "", []string{"closed without an answer"}},
		"no HTTP":             {raw("SSH-2.0-OpenSSH_9.6\r\n"), Light, Unreachable, 0, "", nil},
		"endless header":      {raw("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1<<15)), Light, Unreachable, 0, "", nil},
		"refused and too big": {say(403, strings.Repeat("y", 1<<20)), Light, Forbidden, 403, "yyy", nil},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		}, Light, TooLarge, 200, "    ", []string{"--kubelet-max-body", "1048576 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _ := startKubelet(t, test.handler)
			cfg.MaxBody = 1 << 20
			answer := wantFailure(t, startClient(t, cfg), test.form, test.kind, test.parts...)
			if answer.Status != test.status || !strings.HasPrefix(string(answer.Body), test.body) || test.body == "" && len(answer.Body) > 200 {
				t.Errorf("status %d, body %.100q", answer.Status, answer.Body)
			}
		})
	}
}

// TestFetchGoesOn: a failure leaves nothing behind that the next request trips over.
func TestFetchGoesOn(t *testing.T) {
	var asked atomic.Int32
	cfg, _ := startKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			io.WriteString(w, "garbage")
		case 3:
			panic(http.ErrAbortHandler)
		default:
			io.WriteString(w, smallDocument)
		}
	})
	client := startClient(t, cfg)
	wantFailure(t, client, Full, Failed)
	wantFailure(t, client, Full, Malformed)
	// A connection that turns out dead when it is used again is replaced at once.
	wantOK(t, client, Full)
	if n := asked.Load(); n != 4 {
		t.Errorf("asked %d times, want 4", n)
	}
}

func TestFetchMaxBodyIsInclusive(t *testing.T) {
	cfg, _ := startKubelet(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, smallDocument) })
	cfg.MaxBody = int64(len(smallDocument))
	wantOK(t, startClient(t, cfg), Light)
	cfg.MaxBody--
	wantFailure(t, startClient(t, cfg), Light, TooLarge)
}

// hang answers nothing more. Returning would end the answer properly, which a
// client that is just giving up may still see.
func hang(r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func TestFetchTimeout(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		status  int
		part    string
	}{
		"no header": {func(_ http.ResponseWriter, r *http.Request) { hang(r) }, 0, "before an answer"},
		"no end of the body": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"node"`)
			w.(http.Flusher).Flush()
			hang(r)
		}, 200, "after 7 bytes"},
		"no end of a refusal": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			w.(http.Flusher).Flush()
			hang(r)
		}, 403, "nodes/stats"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _ := startKubelet(t, test.handler)
			cfg.Timeout = 200 * time.Millisecond
			client := startClient(t, cfg)
			answer, err := client.Fetch(context.Background(), Light)
			kind := Timeout
			if test.status == 403 {
				kind = Forbidden // what it says counts, however slowly
			}
			checkFailure(t, answer, err, kind, test.part)
			if kind == Timeout && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is no exceeded deadline", err)
			}
			if answer.Status != test.status || answer.Took < cfg.Timeout || answer.Took > 20*time.Second {
				t.Errorf("status %d, took %v", answer.Status, answer.Took)
			}
		})
	}
}

func TestFetchCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cfg, _ := startKubelet(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	answer, err := startClient(t, cfg).Fetch(ctx, Light)
	checkFailure(t, answer, err, Canceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v is no cancellation", err)
	}
}

// TestBlackHole: a kubelet that accepts connections and says nothing costs the
// timeout, and Close leaves no handshake behind.
func TestBlackHole(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	listener := listen(t)
	cfg := configFor(t, listener.Addr())
	cfg.InsecureTLS = true

	t.Run("timeout", func(t *testing.T) {
		cfg := cfg
		cfg.Timeout = 100 * time.Millisecond
		wantFailure(t, startClient(t, cfg), Light, Timeout, "before an answer", "--kubelet-request-timeout (100ms)")
	})
	t.Run("close ends the handshake", func(t *testing.T) {
		client := startClient(t, cfg)
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(50*time.Millisecond, cancel)
		answer, err := client.Fetch(ctx, Light)
		checkFailure(t, answer, err, Canceled)
		client.Close()
		goleak.VerifyNone(t, ignore)
	})
}

func TestFetchUnreachable(t *testing.T) {
	closed := listen(t)
	closed.Close()
	plain := listen(t)
	served := make(chan error, 1)
	go func() {
		conn, err := plain.Accept()
		if err == nil {
			_, _ = bufio.NewReader(conn).ReadByte()
			_, err = fmt.Fprint(conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request\n")
			conn.Close()
		}
		served <- err
	}()
	for name, test := range map[string]struct {
		listener net.Listener
		parts    []string
	}{
		"nobody listens": {closed, []string{"refused", "--kubelet-port"}},
		"no TLS":         {plain, []string{"--kubelet-port", "speaks no TLS"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configFor(t, test.listener.Addr())
			cfg.InsecureTLS = true
			wantFailure(t, startClient(t, cfg), Light, Unreachable, test.parts...)
		})
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// A body that was given back is used for the next answer, if it is large enough.
func TestReuse(t *testing.T) {
	cfg, _ := startKubelet(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, smallDocument) })
	client := startClient(t, cfg)
	first, err := client.Fetch(t.Context(), Full)
	if err != nil {
		t.Fatal(err)
	}
	client.Reuse(first.Body)
	second, err := client.Fetch(t.Context(), Full)
	if err != nil || string(second.Body) != smallDocument {
		t.Fatalf("%q, %v", second.Body, err)
	}
	third, err := client.Fetch(t.Context(), Full)
	if err != nil || string(third.Body) != smallDocument || &third.Body[0] == &second.Body[0] {
		t.Fatalf("%q, %v; a body in use must not be used again", third.Body, err)
	}
	if &first.Body[0] != &second.Body[0] {
		t.Error("the body that was given back was not used again")
	}
}
