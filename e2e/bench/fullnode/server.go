package fullnode

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// A Server answers GET /stats/summary as the node's kubelet would, to whoever
// has any bearer token. It is safe for concurrent use.
type Server struct {
	// Requests counts the answers.
	Requests atomic.Int64
	// slot is the slot in which a request arrives, in Unix seconds.
	slot func() int64

	mu   sync.Mutex
	node *Node
	last int64
	body []byte
}

// NewServer serves a node; slot says for which slot the next answer is. It may
// not go back.
func NewServer(n *Node, slot func() int64) *Server { return &Server{node: n, slot: slot} }

// ServeHTTP answers in the light form if the query asks for it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/stats/summary" || r.Header.Get("Authorization") == "" {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := s.slot(); slot > s.last {
		s.last = slot
		s.node.Next(slot)
	}
	s.body = s.node.AppendDocument(s.body[:0], r.URL.Query().Get("only_cpu_and_memory") != "true", true)
	w.Header().Set("Content-Type", "application/json")
	s.Requests.Add(1)
	_, _ = w.Write(s.body) // who hung up gets nothing
}

// Lived is how many entities the node has had so far.
func (s *Server) Lived() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node.lived
}
