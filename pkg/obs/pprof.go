package obs

import (
	"net/http"
	"net/http/pprof"
)

// HandlePprof adds the Go profiler to mux, under /debug/pprof/. It shows
// memory and can stop the world, so mux belongs on a listener whose address
// passed [RequireLoopback], served with a WriteTimeout of 0: a profile takes
// as long as its ?seconds.
//
// Importing net/http/pprof also registers it on http.DefaultServeMux. Nothing
// serves that mux: [Serve] refuses a nil Handler, which would mean it.
func HandlePprof(mux *http.ServeMux) {
	// With methods, because a pattern without one conflicts with "GET /".
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // go tool pprof posts the addresses
}
