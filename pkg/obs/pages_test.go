package obs

import (
	"net/http"
	"testing"
)

func TestHandlePages(t *testing.T) {
	asked := 0
	mux := http.NewServeMux()
	HandlePages(mux, map[string]func() any{
		"ring":   func() any { asked++; return map[string]int{"asked": asked} },
		"config": func() any { return struct{ Listen string }{":9810"} },
	})
	tests := []struct {
		name, target string
		code         int
		body         string
	}{
		{"the list", "/debug/", 200, "/debug/config\n/debug/ring\n/debug/pprof/\n"},
		{"a page", "/debug/config", 200, "{\n  \"Listen\": \":9810\"\n}\n"},
		{"asked", "/debug/ring", 200, "{\n  \"asked\": 1\n}\n"},
		{"asked again", "/debug/ring", 200, "{\n  \"asked\": 2\n}\n"},
		{"no such page", "/debug/nothing", 404, "404 page not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if code, body := get(t, mux, tt.target); code != tt.code || body != tt.body {
				t.Errorf("got %d %q, want %d %q", code, body, tt.code, tt.body)
			}
		})
	}
}
