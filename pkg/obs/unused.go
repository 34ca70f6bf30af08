package obs

import (
	"net"
	"net/http"
	"sync"
)

// unused tracks the connections that never carried a request, to close them
// when the server stops. http.Server.Shutdown waits 5 s for a request on each
// of them, and aggregators connect to every agent before they ask anything:
// each agent's restart would take the whole grace period.
type unused struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func newUnused() *unused { return &unused{conns: make(map[net.Conn]struct{})} }

// track is an http.Server.ConnState.
func (u *unused) track(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(u.conns, c)
	case u.closed:
		_ = c.Close() // Accepted in the moment of stopping.
	default:
		u.conns[c] = struct{}{}
	}
}

// close closes the unused connections, those that are still to come included.
func (u *unused) close() {
	u.mu.Lock()
	u.closed = true
	conns := u.conns
	u.conns = make(map[net.Conn]struct{})
	u.mu.Unlock()
	// Outside the lock, which new connections need: closing a TLS connection
	// writes an alert.
	for c := range conns {
		_ = c.Close()
	}
}
