package agents

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

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// node is the one that tests ask. Its name has dots, as names in clouds do.
const node = "node-1.example.internal"

// fleet is a roster, and agents on loopback with certificates of one CA.
type fleet struct {
	t         testing.TB
	authority *identitytest.Authority
	dials     atomic.Int32 // of all its clients

	mu     sync.Mutex
	known  map[string]roster.Member
	states map[string]roster.State
}

func newFleet(t testing.TB) *fleet {
	a, err := identitytest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &fleet{t: t, authority: a, known: map[string]roster.Member{}, states: map[string]roster.State{}}
}

func (f *fleet) Lookup(role identity.Role, name string) (roster.Member, roster.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if role != identity.Agent {
		return roster.Member{}, roster.Unknown
	}
	return f.known[name], f.states[name]
}

// put tells the roster where a node's agent is.
func (f *fleet) put(name string, at net.Addr, state roster.State) {
	addr := netip.MustParseAddrPort(at.String())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[name] = roster.Member{Name: name, Role: identity.Agent, Addr: addr.Addr(), PeerPort: addr.Port()}
	f.states[name] = state
}

// load issues and loads a peer's certificate.
func load(t testing.TB, a *identitytest.Authority, peer identity.Peer) *identity.Source {
	t.Helper()
	files, err := a.Issue(peer)
	if err != nil {
		t.Fatal(err)
	}
	id, err := identity.Load(files, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (f *fleet) agentTLS(name string) *tls.Config {
	f.t.Helper()
	return load(f.t, f.authority, identity.Peer{Role: identity.Agent, Name: name}).ServerConfig(identity.Aggregator)
}

// serve runs h as the agent of node, with that certificate.
func (f *fleet) serve(config *tls.Config, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.TLS = config
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	f.t.Cleanup(s.Close)
	f.put(node, s.Listener.Addr(), roster.Alive)
	return s
}

// listen runs a raw server in the place of node's agent. Its connections are
// closed when the test ends.
func (f *fleet) listen(handle func(net.Conn)) {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	var all sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	f.t.Cleanup(func() { end(); _ = l.Close(); all.Wait() })
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
	f.put(node, l.Addr(), roster.Alive)
}

// client is one with the certificate of an aggregator.
func (f *fleet) client(cfg Config) *Client {
	return f.clientAs(identity.Peer{Role: identity.Aggregator, Name: "aggregator-0"}, cfg)
}

func (f *fleet) clientAs(peer identity.Peer, cfg Config) *Client {
	f.t.Helper()
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			f.dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	}
	return f.clientOf(load(f.t, f.authority, peer), cfg)
}

func (f *fleet) clientOf(id *identity.Source, cfg Config) *Client {
	c := New(cfg, f, id, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	f.t.Cleanup(c.Close)
	return c
}

// target is where the roster has a node's agent.
func (f *fleet) target(name string) Target {
	m, _ := f.Lookup(identity.Agent, name)
	return agentOf(m).Target
}

// frames is an agent that answers with those chunks.
func frames(name string, chunks ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := wire.ParseQuery(r.URL.Query()); r.URL.Path != wire.ChunksPath || err != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		out := begin(w, name, chunks...)
		_ = out.End(len(chunks) > 0, nil)
	}
}

// begin writes an answer without its end.
func begin(w http.ResponseWriter, name string, chunks ...string) *wire.Writer {
	w.Header().Set("Content-Type", wire.ContentType)
	out, _ := wire.NewWriter(w, &wire.Header{Node: name, Resolution: 15})
	for _, c := range chunks {
		_ = out.Chunk([]byte(c))
	}
	return out
}
