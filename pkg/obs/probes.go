package obs

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Probes are the checks behind /readyz. The zero Probes has none and is
// ready. Safe for concurrent use.
type Probes struct {
	mu     sync.Mutex
	checks []probe
}

type probe struct {
	name  string
	check func() error
}

// Add adds a check; nil from it means ready. Checks run in the order in which
// they were added, at every request and possibly several at once, so they
// should look at state that is already there and never wait.
func (p *Probes) Add(name string, check func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks = append(p.checks, probe{name, check})
}

// Ready answers 200 and "ok" if every check passes, else 503 and one line for
// each that fails, "name: error". With ?verbose it lists all of them, those
// that pass as "name: ok".
func (p *Probes) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Checks are called without the lock, as they are not ours. What was
		// appended is never changed, so sharing the array is safe.
		p.mu.Lock()
		checks := p.checks
		p.mu.Unlock()

		var all, failing strings.Builder
		for _, c := range checks {
			err := c.check()
			if err == nil {
				fmt.Fprintf(&all, "%s: ok\n", c.name)
				continue
			}
			// Joined errors span lines; here a line is a check.
			line := fmt.Sprintf("%s: %s\n", c.name, strings.ReplaceAll(err.Error(), "\n", "; "))
			all.WriteString(line)
			failing.WriteString(line)
		}

		code, body := http.StatusOK, "ok\n"
		if failing.Len() > 0 {
			code, body = http.StatusServiceUnavailable, failing.String()
		}
		if r.URL.Query().Has("verbose") && len(checks) > 0 {
			body = all.String()
		}
		answer(w, code, body)
	})
}

// Alive answers 200 and "ok" for as long as the process serves anything. It
// checks nothing on purpose: what is wrong with the kubelet, the disk or the
// network is not mended by a restart, which is all that a failing liveness
// probe leads to.
func Alive() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok\n")
	})
}

func answer(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // The client may be gone; nobody else needs to know.
}
