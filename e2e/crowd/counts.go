package crowd

import "sync/atomic"

// counts are Counts as they grow.
type counts struct {
	pings, tcpPings, indirectPings, pushPulls, visits, acks, gossip, accused, unanswered, refused atomic.Uint64
}

// Counts is what guests have sent since Start.
type Counts struct {
	// Pings over UDP; TCPPings are memberlist's way out when those fail,
	// IndirectPings requests to probe someone else. All three should be rare
	// but for the first.
	Pings, TCPPings, IndirectPings uint64
	// PushPulls that guests began, joins included.
	PushPulls uint64
	// Visits are push/pulls that the crowd began, Acks answers to its pings.
	Visits, Acks uint64
	// Gossip is messages about members.
	Gossip uint64
	// Accused is how often one of the crowd was said to be suspect or dead.
	// One that answers refutes it.
	Accused uint64
	// Unanswered are packets and connections to silent members.
	Unanswered uint64
	// Refused are packets and connections that made no sense: another label,
	// another key.
	Refused uint64
}

// Counts tells what guests have sent so far.
func (c *Crowd) Counts() Counts {
	n := &c.counts
	return Counts{
		Pings:         n.pings.Load(),
		TCPPings:      n.tcpPings.Load(),
		IndirectPings: n.indirectPings.Load(),
		PushPulls:     n.pushPulls.Load(),
		Visits:        n.visits.Load(),
		Acks:          n.acks.Load(),
		Gossip:        n.gossip.Load(),
		Accused:       n.accused.Load(),
		Unanswered:    n.unanswered.Load(),
		Refused:       n.refused.Load(),
	}
}
