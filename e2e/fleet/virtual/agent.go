package virtual

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/agent/api"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// The settings of the peer server in agent/app.
const (
	peerIdle  = 10 * time.Minute
	peerWait  = time.Minute
	peerWrite = time.Minute
)

// trickleEvery is the time between two bytes of [Trickle].
const trickleEvery = 10 * time.Millisecond

// An agent answers for one node.
type agent struct {
	node int
	name string
	ring *ring
	id   *identity.Source
	peer http.Handler
	next *agent // answers for it with WrongNode
	line *line
	log  *slog.Logger

	fault atomic.Pointer[Fault] // nil: none

	orders sync.Mutex // held while one is carried out
	addr   netip.Addr
	cancel context.CancelFunc // nil: it is not running
	done   chan struct{}      // closed when it has ended
	ended  error              // valid once done is closed
}

func newAgent(c *Config, cast *cast, node int, log *slog.Logger) (*agent, error) {
	a := &agent{node: node, name: nodeName(node), addr: c.Host(node), ring: newRing(cast, node), line: newLine(), log: log}
	cert, err := c.Authority.IssueInMemory(identity.Peer{Role: identity.Agent, Name: a.name})
	if err != nil {
		return nil, err
	}
	if a.id, err = c.Identity.With(cert); err != nil {
		return nil, fmt.Errorf("%s: %w", a.name, err)
	}
	a.peer = api.Peer(api.PeerConfig{Node: a.name, Resolution: c.Resolution, Retention: c.History}, a.ring, http.NotFoundHandler(), log, nowhere{})
	return a, nil
}

// nowhere is a registry that keeps nothing: metrics of thousands of agents
// would have the same names.
type nowhere struct{}

func (nowhere) Register(prometheus.Collector) error  { return nil }
func (nowhere) MustRegister(...prometheus.Collector) {}
func (nowhere) Unregister(prometheus.Collector) bool { return true }

// start listens and serves. The caller holds orders.
func (a *agent) start(ctx context.Context) error {
	if a.cancel != nil {
		return fmt.Errorf("%s is running", a.name)
	}
	l, err := obs.Listen(ctx, "--network", netip.AddrPortFrom(a.addr, PeerPort).String())
	if err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	serving, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	a.cancel, a.done = cancel, done
	go func() {
		defer close(done)
		a.ended = obs.Serve(serving, a.log, obs.Server{
			Name: "peer", Listener: lineListener{l, a.line}, TLS: a.id.ServerConfig(identity.Aggregator), Handler: a,
			IdleTimeout: peerIdle, ReadHeaderTimeout: peerWait, WriteTimeout: peerWrite,
		})
	}()
	return nil
}

// stop ends it and waits: gracefully, or as a crash would. The caller holds
// orders.
func (a *agent) stop(kill bool) error {
	if a.cancel == nil {
		return nil
	}
	a.cancel()
	if kill {
		a.line.reset()
	} else {
		a.line.speak() // or what is silent would have to be waited for
	}
	<-a.done
	a.line.speak()
	a.cancel = nil
	if a.ended != nil && !kill {
		return fmt.Errorf("%s: %w", a.name, a.ended)
	}
	return nil
}

// set makes the agent fail in one way, or none.
func (a *agent) set(f Fault) {
	if f.Kind == Blackhole {
		a.line.hush()
	} else {
		a.line.speak()
	}
	if f.Kind == None {
		a.fault.Store(nil)
		return
	}
	a.fault.Store(&f)
}

// current is the fault it has.
func (a *agent) current() Fault {
	if f := a.fault.Load(); f != nil {
		return *f
	}
	return Fault{Kind: None}
}

// ServeHTTP answers an aggregator.
func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := a.fault.Load()
	if f == nil {
		a.peer.ServeHTTP(w, r)
		return
	}
	switch f.Kind {
	case Slow:
		select {
		case <-time.After(f.Delay):
			a.peer.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	case Trickle:
		a.peer.ServeHTTP(&trickle{ResponseWriter: w, ctx: r.Context()}, r)
	case Garbage:
		w.Header().Set("Content-Type", wire.ContentType)
		_, _ = io.CopyN(w, rand.Reader, 4<<10)
	case WrongNode:
		a.next.peer.ServeHTTP(w, r)
	case Version:
		http.NotFound(w, r)
	case WrongType:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html><body>It works!</body></html>")
	case Endless:
		lie{copies: 1, endless: true}.tell(a.peer, w, r)
	case Duplicate:
		lie{copies: 2}.tell(a.peer, w, r)
	case Shift:
		lie{copies: 1, shift: f.Delay}.tell(a.peer, w, r)
	case Size:
		lie{copies: f.Times, rename: true}.tell(a.peer, w, r)
	default: // a black hole is the line's
		a.peer.ServeHTTP(w, r)
	}
}

// A trickle sends an answer byte by byte, with pauses.
type trickle struct {
	http.ResponseWriter
	ctx context.Context
}

func (t *trickle) Write(p []byte) (int, error) {
	t.Header().Del("Content-Length")
	pause := time.NewTicker(trickleEvery)
	defer pause.Stop()
	for i := range p {
		if _, err := t.ResponseWriter.Write(p[i : i+1]); err != nil {
			return i, err
		}
		if err := http.NewResponseController(t.ResponseWriter).Flush(); err != nil {
			return i, err
		}
		select {
		case <-pause.C:
		case <-t.ctx.Done():
			return i + 1, errors.Join(errors.New("trickle"), t.ctx.Err())
		}
	}
	return len(p), nil
}
