package obs

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// HandlePages serves each page, by name, as indented JSON at /debug/<name> on
// mux, and at /debug/ a list of them. The functions are called for each
// request, possibly several at once.
func HandlePages(mux *http.ServeMux, pages map[string]func() any) {
	for name, page := range pages {
		mux.HandleFunc("GET /debug/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			_ = e.Encode(page()) // fails when the reader went away
		})
	}
	mux.HandleFunc("GET /debug/{$}", func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range slices.Sorted(maps.Keys(pages)) {
			fmt.Fprintf(w, "/debug/%s\n", name)
		}
		fmt.Fprintln(w, "/debug/pprof/")
	})
}
