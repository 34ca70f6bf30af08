package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// Name is the DNS name in its certificate.
const Name = "apiserver"

// A Request is what the job of [Job] is told.
type Request struct {
	// Files are a serving certificate for 127.0.0.1.
	Files identity.Files
	// FrontProxyCA is the file of the CA of who passes on requests.
	FrontProxyCA string
	// The fleet's configuration; see [virtual.NewCensus].
	Nodes, Pods int
	Resolution  time.Duration
	Seed        int64
	Deployments []virtual.Deployment
	// Namespace is that of the agents' DaemonSet.
	Namespace string
}

// A Result is where the API server is.
type Result struct{ URL string }

// An Order is what the job may be told from then on; each is answered with [Counts].
type Order struct {
	// HoldPods has lists of pods wait, until an order does not.
	HoldPods bool
}

// Counts are what was asked so far.
type Counts struct {
	AccessReviews, TokenReviews int64
	// Pods are those that were listed, Events those of watches.
	Pods, Events int64
	// Unknown are paths that it does not have.
	Unknown []string
}

// Kubeconfig is a file with which a client finds the API server at a URL, whose
// certificate is by the CA in a file.
func Kubeconfig(url, ca string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: bench, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: bench, user: {token: bench}}]
contexts: [{name: bench, context: {cluster: bench, user: bench}}]
current-context: bench
`, url, ca)
}

// Job serves until ctx ends.
func Job(ctx context.Context, p *child.Parent) (err error) {
	var q Request
	if err := p.Next(&q); err != nil {
		return err
	}
	census, err := newCensus(q)
	if err != nil {
		return err
	}
	s, err := newServer(q, census)
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(q.Files.Cert, q.Files.Key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{
		Handler:   s,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ErrorLog:  log.New(io.Discard, "", 0), // clients that hang up
	}
	served := make(chan error, 1)
	go func() { served <- web.ServeTLS(l, "", "") }()
	defer func() {
		err = errors.Join(err, web.Close())
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
	}()
	moving, stop := context.WithCancel(ctx)
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		s.move(moving)
	}()
	defer func() {
		stop()
		<-moved
	}()
	if err := p.Result(Result{"https://" + l.Addr().String()}); err != nil {
		return err
	}
	for {
		var o Order
		if err := p.Next(&o); err != nil {
			return err // io.EOF at the end
		}
		s.hold(o.HoldPods)
		if err := p.Result(s.counts()); err != nil {
			return err
		}
	}
}
