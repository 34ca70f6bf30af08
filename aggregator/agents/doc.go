// Package agents asks one agent at a time, over mutual TLS.
//
// The roster says where an agent is, its certificate says that it is the agent
// of that node, and the header of its answer has to say so, too. Connections
// are opened when an agent comes into the roster and are kept, since a
// handshake costs both sides a millisecond. They belong to one node at one
// address: an agent that has moved is never asked through a connection to
// where it was. A [Transport] carries the requests; a [Dialer] opens its
// connections.
//
// A node that does not answer is an [Error], which knows the node's
// [coverage.Outcome]. Asking many nodes is the job of package fanout.
package agents
