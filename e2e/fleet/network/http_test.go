package network

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// web is a server on host two and a client on host one that talk HTTP.
type web struct {
	*httptest.Server
	client *http.Client
	dials  atomic.Int32 // of the client
}

func newWeb(t *testing.T, n *Network, withTLS bool, handler http.HandlerFunc) *web {
	t.Helper()
	w := &web{Server: httptest.NewUnstartedServer(handler)}
	_ = w.Listener.Close()
	w.Listener = listen(t, n, two, two)
	if withTLS {
		w.StartTLS()
	} else {
		w.Start()
	}
	transport := w.Client().Transport.(*http.Transport)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		w.dials.Add(1)
		return n.Host(one).DialContext(ctx, network, address)
	}
	if withTLS {
		transport.TLSClientConfig.ServerName = "example.com" // what httptest's certificate says
	}
	w.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		n.Heal()
		transport.CloseIdleConnections()
		w.Close()
	})
	return w
}

func (w *web) get(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
	if err != nil {
		return "", err
	}
	res, err := w.client.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(res.Body)
	return string(body), errors.Join(err, res.Body.Close())
}

func (w *web) getting(ctx context.Context) <-chan transfer {
	return begin(func() transfer {
		body, err := w.get(ctx)
		return transfer{body, err}
	})
}

func eachProtocol(t *testing.T, test func(t *testing.T, withTLS bool)) {
	t.Run("http", func(t *testing.T) { test(t, false) })
	t.Run("https", func(t *testing.T) { test(t, true) })
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func TestKeepAliveAcrossCut(t *testing.T) {
	eachProtocol(t, func(t *testing.T, withTLS bool) {
		n := New()
		w := newWeb(t, n, withTLS, hello)
		for range 3 {
			getting := w.getting(t.Context())
			if got := ended(t, "get", getting); got.data != "hello" || got.err != nil {
				t.Fatalf("got %q, %v", got.data, got.err)
			}
			n.Partition(two)
			getting = w.getting(t.Context())
			blocked(t, "get over a cut link", getting)
			n.Heal()
			if got := ended(t, "get", getting); got.data != "hello" || got.err != nil {
				t.Fatalf("got %q, %v", got.data, got.err)
			}
		}
		if got := w.dials.Load(); got != 1 {
			t.Errorf("%d connections", got)
		}
	})
}

// slow is far less than the 5 s that crypto/tls gives a goodbye.
const slow = 4 * time.Second

// A request that times out over a cut link does so in time: closing the
// connection must not wait for the link.
func TestRequestTimesOut(t *testing.T) {
	eachProtocol(t, func(t *testing.T, withTLS bool) {
		n := New()
		asked, answer := make(chan bool, 1), make(chan bool)
		w := newWeb(t, n, withTLS, func(w http.ResponseWriter, r *http.Request) {
			asked <- true
			<-answer
			hello(w, r)
		})
		ctx, cancel := context.WithCancel(t.Context())
		getting := w.getting(ctx)
		_ = ended(t, "request", asked)
		n.Partition(one)
		close(answer)
		blocked(t, "get over a cut link", getting)
		start := time.Now()
		cancel()
		if got := ended(t, "get", getting); !errors.Is(got.err, context.Canceled) {
			t.Errorf("got %q, %v", got.data, got.err)
		}
		if took := time.Since(start); took > slow {
			t.Errorf("took %v to give up", took)
		}
	})
}

// A fleet that is cut in pieces can be closed at once, clients first or last.
func TestServerClosesAtOnce(t *testing.T) {
	for _, way := range cuts {
		t.Run(way.name, func(t *testing.T) {
			n := New()
			const clients = 3 // they would be closed one after the other
			asked, answer := make(chan bool, clients), make(chan bool)
			w := newWeb(t, n, true, func(w http.ResponseWriter, r *http.Request) {
				asked <- true
				<-answer
				hello(w, r)
			})
			var getting []<-chan transfer
			for range clients {
				getting = append(getting, w.getting(t.Context()))
			}
			for range clients {
				_ = ended(t, "request", asked)
			}
			close(answer)
			for _, g := range getting {
				if got := ended(t, "get", g); got.err != nil {
					t.Fatal(got.err)
				}
			}
			way.cut(n)
			start := time.Now()
			if err := w.Config.Close(); err != nil {
				t.Error(err)
			}
			w.client.CloseIdleConnections()
			if took := time.Since(start); took > slow {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestTLSAcrossCut(t *testing.T) {
	n := New()
	w := newWeb(t, n, true, hello)
	config := w.Client().Transport.(*http.Transport).TLSClientConfig
	c := tls.Client(dial(t, n, one, w.Listener), config)
	n.Pause(two)
	shaking := begin(func() error { return c.HandshakeContext(t.Context()) })
	blocked(t, "handshake with a paused host", shaking)
	n.Resume(two)
	if err := ended(t, "handshake", shaking); err != nil {
		t.Fatal(err)
	}

	// A read that times out can be repeated, so nothing of a record may be lost.
	read := reading(c)
	n.Pause(two)
	write(t, c, "GET / HTTP/1.0\r\n\r\n")
	blocked(t, "read from a paused host", read)
	if err := c.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	checkTimeout(t, ended(t, "read", read).err)
	n.Resume(two)
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || len(answer) == 0 {
		t.Errorf("read %q, %v", answer, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
