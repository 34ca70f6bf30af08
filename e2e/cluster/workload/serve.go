package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/pflag"
)

// serve answers with the host name, which is the pod's: so a test sees which
// one a Service chose.
func serve() command {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	listen := flags.String("listen", ":8080", "address")
	return command{flags, func(ctx context.Context) error {
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
		return serveHTTP(ctx, *listen, mux)
	}}
}

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, listen string, handler http.Handler) error {
	s := &http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
