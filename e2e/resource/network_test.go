package resource

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// A network is where agents are and who reaches them. It is safe for concurrent use.
type network struct {
	mu      *sync.Mutex
	members map[string]roster.Member // by node; those that are gone, too
	agents  map[netip.AddrPort]*listener
}

func newNetwork() network {
	return network{mu: new(sync.Mutex), members: map[string]roster.Member{}, agents: map[netip.AddrPort]*listener{}}
}

// enter has an agent answer, and gossip know of it.
func (n *network) enter(m roster.Member, l *listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members[m.Name], n.agents[netip.AddrPortFrom(m.Addr, m.PeerPort)] = m, l
}

// leave has a node's agent answer no more. Gossip says nothing yet.
func (n *network) leave(node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.members[node]
	delete(n.agents, netip.AddrPortFrom(m.Addr, m.PeerPort))
}

// A link is an aggregator's way to the agents. It is safe for concurrent use.
type link struct {
	*network
	cut   map[netip.Addr]bool     // nothing passes there
	says  map[string]roster.State // by node: what gossip says, unless that it is alive
	conns map[net.Conn]netip.Addr
}

func (n *network) link() *link {
	return &link{n, map[netip.Addr]bool{}, map[string]roster.State{}, map[net.Conn]netip.Addr{}}
}

// lookup is the roster's.
func (l *link) lookup(_ identity.Role, node string) (roster.Member, roster.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, known := l.members[node]
	state, said := l.says[node]
	switch {
	case said:
		return m, state
	case known:
		return m, roster.Alive
	}
	return m, roster.Unknown
}

// dial is a net.Dialer's.
func (l *link) dial(ctx context.Context, _, address string) (net.Conn, error) {
	at := netip.MustParseAddrPort(address)
	l.mu.Lock()
	agent, cut := l.agents[at], l.cut[at.Addr()]
	l.mu.Unlock()
	switch to := net.TCPAddrFromAddrPort(at); {
	case cut:
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: ctx.Err()}
	case agent == nil:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: syscall.ECONNREFUSED}
	}
	c := agent.dial(&net.TCPAddr{IP: net.IPv4(10, 1, 0, 1), Port: 40000})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = at.Addr()
	return c, nil
}

// lose has nothing pass between the aggregator and a node's agent, or everything
// again. Gossip does not notice.
func (l *link) lose(node string, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.members[node].Addr
	l.cut[at] = lost
	for c, to := range l.conns {
		if lost && to == at {
			_ = c.Close()
			delete(l.conns, c)
		}
	}
}

// hear has gossip tell the aggregator what became of a node's agent.
func (l *link) hear(node string, state roster.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.says[node] = state
	if state == roster.Alive {
		delete(l.says, node)
	}
}
