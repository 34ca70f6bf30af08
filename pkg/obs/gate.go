package obs

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// A gate counts the handlers that run and, once stopped, lets no more in.
// http.Server.Close does not wait for handlers, but a handler that outlives
// the server would read from a store that is closed.
type gate struct {
	mu      sync.Mutex
	running int
	stopped bool
	empty   chan struct{} // closed when stopped and nothing runs
}

func newGate() *gate { return &gate{empty: make(chan struct{})} }

// wrap returns h behind the gate. A panic in h ends that request only, and is
// logged here with its path; net/http's own line would be lost at debug level.
func (g *gate) wrap(h http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter() {
			panic(http.ErrAbortHandler)
		}
		defer g.leave()
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				log.Error("handler panicked", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler)
		}()
		h.ServeHTTP(w, r)
	})
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	g.running++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if g.stopped && g.running == 0 {
		close(g.empty)
	}
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running
}

// stop lets no more handlers in and waits for those that run; the error says
// how many of the named server are stuck. Call it once.
func (g *gate) stop(name string) error {
	g.mu.Lock()
	g.stopped = true
	if g.running == 0 {
		close(g.empty)
	}
	g.mu.Unlock()

	timeout := time.NewTimer(stopWait)
	defer timeout.Stop()
	select {
	case <-g.empty:
		return nil
	case <-timeout.C:
		return fmt.Errorf("stop %s: %d handlers still run %v after their requests were canceled", name, g.count(), stopWait)
	}
}
