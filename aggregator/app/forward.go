package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/aggregator/dashboard"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

const (
	// forwardGCPercent is GOGC: a forwarder holds next to nothing.
	forwardGCPercent = 100
	// forwardWrite bounds an answer, the slowest reader included.
	forwardWrite = time.Minute
)

const aboutForwarder = `
Forwards what the Kubernetes Dashboard asks its metrics scraper to aggregators.

A Service has pods of its own namespace only, and the Dashboard looks for its
metrics scraper in its own: run this there, behind a Service of the scraper's
name with one unnamed port. The component dashboard of the manifests does so.
It needs no rights and no certificates, and only what is for the Dashboard can
be reached through it.

  rollcall-aggregator forward-dashboard --to http://rollcall-aggregator.rollcall:8000

Is it well: curl http://127.0.0.1:8000/readyz
Why there are no metrics: curl http://127.0.0.1:8000/`

// forwarder are the settings of the subcommand.
type forwarder struct{ to, listen string }

// AddFlags implements [cli.Config].
func (f *forwarder) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&f.to, "to", "", "where aggregators are, like http://rollcall-aggregator.rollcall:8000")
	fs.StringVar(&f.listen, "listen", ":8000", "address of the Dashboard's routes, /healthz and /readyz (plain HTTP)")
}

// Validate implements [cli.Config].
func (f *forwarder) Validate() error {
	_, err := f.target()
	return err
}

func (f *forwarder) target() (*url.URL, error) {
	if f.to == "" {
		return nil, errors.New("--to is required, like http://rollcall-aggregator.rollcall:8000")
	}
	to, err := dashboard.ForwardTarget(f.to)
	if err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	return to, nil
}

// ForwardDashboard is the subcommand that forwards the Kubernetes Dashboard's
// questions to aggregators.
func ForwardDashboard(version string) cli.Command {
	f := &forwarder{}
	return cli.Command{
		Name: "forward-dashboard", About: aboutForwarder, Config: f,
		Run: func(ctx context.Context, log *slog.Logger) error {
			cli.TuneMemory(forwardGCPercent, log)
			log.Info("forwarder started", "version", version, "to", f.to)
			return f.run(ctx, log)
		},
	}
}

// run serves until ctx ends, and lets answers in flight finish.
func (f *forwarder) run(ctx context.Context, log *slog.Logger) error {
	to, err := f.target()
	if err != nil {
		return err
	}
	listener, err := obs.Listen(ctx, "--listen", f.listen)
	if err != nil {
		return err
	}
	forward := dashboard.NewForwarder(to, log)
	var ready obs.Probes
	ready.Add("aggregators", forward.Ready)
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", obs.Alive())
	mux.Handle("GET /readyz", ready.Ready())

	probing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var probe sync.WaitGroup
	probe.Go(func() { forward.Run(probing, to) })
	err = obs.Serve(ctx, log, obs.Server{
		Name: "dashboard", Listener: listener, WriteTimeout: forwardWrite, MaxHeaderBytes: dashboard.MaxHeaderBytes,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Not all in the mux: it answers a path that is not clean with a redirect.
			switch r.URL.Path {
			case "/healthz", "/readyz":
				mux.ServeHTTP(w, r)
			default:
				forward.ServeHTTP(w, r)
			}
		}),
	})
	stop()
	probe.Wait()
	return err
}
