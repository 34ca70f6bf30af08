package agents

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// An agent is one that is here.
type agent struct {
	Target
	start int64
}

// An Incarnation is one process of a node's agent, at one place.
type Incarnation struct {
	At netip.AddrPort
	// Start is when it started by its own clock, in Unix seconds.
	Start int64
}

func (a agent) incarnation() Incarnation { return Incarnation{At: a.At, Start: a.start} }

// Incarnation is the agent that the roster has of a node, zero if it is not here.
func (c *Client) Incarnation(node string) Incarnation {
	m, state := c.roster.Lookup(identity.Agent, node)
	if state != roster.Alive {
		return Incarnation{}
	}
	return agentOf(m).incarnation()
}

// locate finds a node's agent in the roster.
func (c *Client) locate(node string) (agent, error) {
	m, state := c.roster.Lookup(identity.Agent, node)
	switch state {
	case roster.Alive:
		return agentOf(m), nil
	case roster.Dead:
		return agent{}, &Error{Node: node, Outcome: coverage.Dead, Err: fmt.Errorf("its agent at %v stopped answering gossip", m.Addr)}
	case roster.Left:
		return agent{}, &Error{Node: node, Outcome: coverage.NotInRoster, Err: fmt.Errorf("its agent at %v has left", m.Addr)}
	}
	return agent{}, &Error{Node: node, Outcome: coverage.NotInRoster, Err: errors.New("its agent has never been heard of")}
}

func agentOf(m roster.Member) agent {
	return agent{Target: Target{Node: m.Name, At: netip.AddrPortFrom(m.Addr, m.PeerPort)}, start: m.Start.Unix()}
}
