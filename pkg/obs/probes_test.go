package obs

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

func TestReady(t *testing.T) {
	pass := func() error { return nil }
	fail := func() error { return errors.New("disk is full") }
	failTwice := func() error { return errors.Join(errors.New("no key"), errors.New("no certificate")) }
	tests := []struct {
		name   string
		checks map[string]func() error
		order  []string
		target string
		code   int
		body   string
	}{
		{"no checks", nil, nil, "/readyz", 200, "ok\n"},
		{"no checks, verbose", nil, nil, "/readyz?verbose", 200, "ok\n"},
		{"all pass", map[string]func() error{"ring": pass, "roster": pass}, []string{"ring", "roster"}, "/readyz", 200, "ok\n"},
		{"all pass, verbose", map[string]func() error{"ring": pass, "roster": pass}, []string{"ring", "roster"}, "/readyz?verbose", 200, "ring: ok\nroster: ok\n"},
		{"one fails", map[string]func() error{"ring": fail, "roster": pass}, []string{"ring", "roster"}, "/readyz", 503, "ring: disk is full\n"},
		{"one fails, verbose", map[string]func() error{"ring": fail, "roster": pass}, []string{"roster", "ring"}, "/readyz?verbose=1", 503, "roster: ok\nring: disk is full\n"},
		{"errors of several lines", map[string]func() error{"identity": failTwice, "ring": fail}, []string{"identity", "ring"}, "/readyz", 503, "identity: no key; no certificate\nring: disk is full\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p Probes
			for _, name := range tt.order {
				p.Add(name, tt.checks[name])
			}
			code, body := get(t, p.Ready(), tt.target)
			if code != tt.code || body != tt.body {
				t.Errorf("got %d %q, want %d %q", code, body, tt.code, tt.body)
			}
		})
	}
}

func TestReadyFollowsTheChecks(t *testing.T) {
	var p Probes
	h := p.Ready()
	state := errors.New("opening")
	p.Add("ring", func() error { return state }) // after Ready was called
	if code, _ := get(t, h, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("got %d while it opens", code)
	}
	state = nil
	if code, _ := get(t, h, "/readyz"); code != http.StatusOK {
		t.Errorf("got %d when it is open", code)
	}
}

func TestProbesConcurrently(t *testing.T) {
	var p Probes
	h := p.Ready()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { p.Add("x", func() error { return nil }) })
		wg.Go(func() { get(t, h, "/readyz?verbose") })
	}
	wg.Wait()
}

func TestAlive(t *testing.T) {
	if code, body := get(t, Alive(), "/livez"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("got %d %q", code, body)
	}
}

func ExampleProbes() {
	var p Probes
	p.Add("ring", func() error { return nil })
	p.Add("roster", func() error { return errors.New("no aggregator seen for 2m0s") })

	w := httptest.NewRecorder()
	p.Ready().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz?verbose", nil))
	fmt.Println(w.Code)
	fmt.Print(w.Body)
	// Output:
	// 503
	// ring: ok
	// roster: no aggregator seen for 2m0s
}
