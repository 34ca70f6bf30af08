package obs

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandlePprof(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", http.NotFound) // must not conflict
	HandlePprof(mux)
	tests := []struct {
		method, target string
		code           int
		body           string
	}{
		{"GET", "/debug/pprof/", 200, "full goroutine stack dump"},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total"},
		{"GET", "/debug/pprof/cmdline", 200, "obs.test"},
		{"GET", "/debug/pprof/symbol", 200, "num_symbols: 1"},
		{"POST", "/debug/pprof/symbol", 200, "num_symbols: 1"},
		{"POST", "/debug/pprof/profile", 405, ""},
		{"GET", "/debug/pprof/nothing", 404, "Unknown profile"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, nil))
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("got %d %q, want %d and %q", w.Code, w.Body, tt.code, tt.body)
			}
		})
	}
}
