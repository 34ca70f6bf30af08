package obs

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// DefaultReadHeaderTimeout is enough for one round trip over a bad link
	// and too short to hold a connection by sending a byte at a time.
	DefaultReadHeaderTimeout = 5 * time.Second
	// DefaultIdleTimeout is twice the longest usual pause between a client's
	// questions (a dashboard's or a Prometheus's minute): connecting anew
	// costs more than holding an idle connection.
	DefaultIdleTimeout = 2 * time.Minute
	// DefaultGrace is well below the 30 s after which Kubernetes kills a pod,
	// as the store and the roster close after the servers.
	DefaultGrace = 5 * time.Second

	// DefaultMaxHeaderBytes is four times what a request of ours can need, a path
	// of three names and a query; net/http's 1 MiB is what each connection of a
	// hostile client could make us hold.
	DefaultMaxHeaderBytes = 16 << 10

	// stopWait is for handlers to return once their connections are closed
	// and their contexts canceled. One that takes longer is stuck.
	stopWait = time.Second
)

// A Server is one listener and what is served on it; see [Serve]. Durations
// and sizes that are 0 take the default, if there is one.
type Server struct {
	// Name stands for the server in logs and errors: "peer", "metrics". Required.
	Name string
	// Listener is closed by Serve. Required.
	Listener net.Listener
	// Handler is called concurrently. Its requests' contexts live through the
	// grace period and are canceled after it. Required.
	Handler http.Handler
	// TLS makes it HTTPS; nil is plain HTTP. The configuration is cloned, so
	// certificates that change come through its callbacks.
	TLS *tls.Config

	// ReadHeaderTimeout bounds the TLS handshake and the reading of a
	// request's header. It also closes a new connection on which no request
	// came for that long: peers that connect ahead of their first question
	// need a longer one.
	ReadHeaderTimeout time.Duration
	// WriteTimeout bounds a request from the end of its header to the end of
	// the response. 0 is none: a profile takes as long as it was asked to.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection is kept between two requests;
	// negative is forever, for peers that connect once and stay.
	IdleTimeout time.Duration
	// Grace is how long requests in flight may go on after the server was
	// told to stop.
	Grace time.Duration
	// MaxHeaderBytes bounds a request's header, its path included; 0 is
	// DefaultMaxHeaderBytes. A request with more (net/http allows for 4 KiB on
	// top) is answered with 431.
	MaxHeaderBytes int
}

// Serve serves s until ctx ends, then stops gracefully: no new connections,
// requests in flight get the grace period, what is left after it is cut off
// and logged. It speaks HTTP/1.1 only: between agents and aggregators HTTP/2
// was measured at two to four times the memory and a third more CPU, and
// browsers only get it with TLS.
//
// Serve returns nil if it ended because ctx did and no handler is running any
// more, so that what the handlers use can be closed. Otherwise the error names
// the server: it is incomplete, its listener failed, or a handler is stuck.
// The listener is closed in every case.
//
// What net/http has to say (handshakes that fail, mostly) is logged at debug
// level, a handler's panic at error level.
func Serve(ctx context.Context, log *slog.Logger, s Server) error {
	if s.Listener == nil {
		return fmt.Errorf("server %q has no listener", s.Name)
	}
	if s.Name == "" || s.Handler == nil {
		// To net/http a nil Handler is DefaultServeMux, where pprof is.
		return errors.Join(fmt.Errorf("server %q on %s lacks a name or a handler", s.Name, s.Listener.Addr()), s.Listener.Close())
	}
	addr := s.Listener.Addr().String()
	log = log.With("server", s.Name)

	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	handlers, unused := newGate(), newUnused()
	srv := s.httpServer(requests, log, handlers, unused)

	ended := make(chan error, 1)
	go func() { ended <- s.serve(srv) }()
	log.Info("serving", "address", addr, "tls", s.TLS != nil)

	select {
	case err := <-ended:
		cutOff()
		_ = srv.Close() // The listener's error is the one that matters.
		return errors.Join(fmt.Errorf("serve %s on %s: %w", s.Name, addr, err), handlers.stop(s.Name))
	case <-ctx.Done():
	}

	grace, done := context.WithTimeout(requests, cmp.Or(s.Grace, DefaultGrace))
	defer done()
	unused.close()
	if err := srv.Shutdown(grace); err != nil {
		log.Warn("requests cut off", "handlers", handlers.count(), "err", err)
		cutOff()
		_ = srv.Close() // Shutdown has closed the listener; what fails now are connections.
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		log.Debug("listener failed while stopping", "err", err)
	}
	return handlers.stop(s.Name)
}

// serve accepts connections until srv is closed.
func (s Server) serve(srv *http.Server) error {
	if s.TLS != nil {
		return srv.ServeTLS(s.Listener, "", "")
	}
	return srv.Serve(s.Listener)
}

func (s Server) httpServer(requests context.Context, log *slog.Logger, handlers *gate, unused *unused) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           handlers.wrap(s.Handler, log),
		TLSConfig:         s.TLS,
		Protocols:         protocols,
		ReadHeaderTimeout: cmp.Or(s.ReadHeaderTimeout, DefaultReadHeaderTimeout),
		WriteTimeout:      s.WriteTimeout,
		IdleTimeout:       cmp.Or(s.IdleTimeout, DefaultIdleTimeout),
		MaxHeaderBytes:    cmp.Or(s.MaxHeaderBytes, DefaultMaxHeaderBytes),
		ErrorLog:          errorLog(log),
		ConnState:         unused.track,
		BaseContext:       func(net.Listener) context.Context { return requests },
		// No ReadTimeout: it would cancel the context of every request that
		// takes longer, bodies or not.
	}
}

// errorLog makes net/http's lines the data of a constant message. They are at
// debug level because anyone who can reach the port can cause them.
func errorLog(to *slog.Logger) *log.Logger {
	return log.New(debugLines{to}, "", 0)
}

type debugLines struct{ log *slog.Logger }

func (d debugLines) Write(line []byte) (int, error) {
	d.log.Debug("http server", "err", strings.TrimSpace(string(line)))
	return len(line), nil
}
