package agentstest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

// node is the one that is asked. Its name has dots, as names in clouds do.
const node = "node-1.example.internal"

// bench is what one test has: agents on loopback, and a transport to them.
type bench struct {
	t         *testing.T
	authority *identitytest.Authority
	transport agents.Transport
	// connect opens connections; dials counts them.
	connect func(ctx context.Context, to agents.Target) (net.Conn, error)
	dials   atomic.Int32
}

func newBench(t *testing.T, open Open, as identity.Peer) *bench {
	a, err := identitytest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, authority: a}
	dialer := agents.NewDialer(nil, b.load(as), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	b.connect = dialer.Connect
	b.transport = open(agents.TransportConfig{
		Connect: func(ctx context.Context, to agents.Target) (net.Conn, error) {
			b.dials.Add(1)
			return b.connect(ctx, to)
		},
		IdleTimeout: agents.DefaultIdleTimeout,
	})
	t.Cleanup(func() { dialer.Close(); b.transport.Close() })
	return b
}

// load issues and loads a certificate.
func (b *bench) load(peer identity.Peer) *identity.Source {
	b.t.Helper()
	files, err := b.authority.Issue(peer)
	if err != nil {
		b.t.Fatal(err)
	}
	id, err := identity.Load(files, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// tls is how the agent of that name serves.
func (b *bench) tls(name string) *tls.Config {
	return b.load(identity.Peer{Role: identity.Agent, Name: name}).ServerConfig(identity.Aggregator)
}

// agent serves h as node.
func (b *bench) agent(h http.HandlerFunc) (*httptest.Server, agents.Target) {
	s := httptest.NewUnstartedServer(h)
	s.TLS = b.tls(node)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	b.t.Cleanup(s.Close)
	return s, agents.Target{Node: node, At: netip.MustParseAddrPort(s.Listener.Addr().String())}
}

// listen has handle serve connections as they come. They are closed when it
// returns, and in the end.
func (b *bench) listen(handle func(net.Conn)) agents.Target {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	var all sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	b.t.Cleanup(func() { end(); _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer context.AfterFunc(ended, func() { _ = c.Close() })()
				defer func() { _ = c.Close() }()
				handle(c)
			})
		}
	})
	return agents.Target{Node: node, At: netip.MustParseAddrPort(l.Addr().String())}
}

// answer is what came back.
type answer struct {
	agents.Response
	body string
}

// get asks and reads the whole answer.
func (b *bench) get(ctx context.Context, to agents.Target) (answer, error) {
	resp, err := b.transport.Get(ctx, to, "/peer/v1/chunks", "from=1&to=2")
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return answer{*resp, string(body)}, err
}

// want asks, and wants that body.
func (b *bench) want(to agents.Target, body string) {
	b.t.Helper()
	got, err := b.get(b.t.Context(), to)
	if err != nil || got.body != body {
		b.t.Fatalf("got %q, %v; want %q", got.body, err, body)
	}
}

// dialed checks how many connections were opened.
func (b *bench) dialed(want int32, why string) {
	b.t.Helper()
	if n := b.dials.Load(); n != want {
		b.t.Errorf("%s: %d connections, want %d", why, n, want)
	}
}
