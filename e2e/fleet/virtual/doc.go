// Package virtual is thousands of agents in one process: enough of them to ask
// what an aggregator costs in a large cluster, on one machine.
//
// A virtual agent has no kubelet, no disk and no gossip of its own. What an
// aggregator meets is real: the agent's peer API (agent/api) behind the agent's
// own server settings, TLS 1.3 with a certificate of its own, at an address of
// its own; a crowd (e2e/crowd) is the gossip of all of them.
//
// Their history is made of templates. A template is the life of one pod, or of a
// node, from its start to its end: samples that go as a real kubelet's did,
// perturbed, and the chunk of each 15 minutes of them. Chunks say times as
// distances from their block, so that the same bytes serve wherever a life
// begins: 5000 nodes share a few dozen lives, each begun at another time, by
// pods with names of their own. Who plays what is a function of the seed and the
// time, so nothing needs to be stored:
//
//	cast.go      which pods a node has, and what they are called
//	scene.go     who is on a node during a block
//	census.go    the same for whoever plays the API server
//	life.go      templates
//	window.go    over how long a time CPU was measured
//	ring.go      a node's history, as agent/api asks for it
//	truth.go     what it should say, from the samples and not from the chunks
//	agent.go     one agent: its listener, its server, its faults
//	socket.go    connections that can fall silent or be reset
//	fault.go     the ways of answering badly, and their names
//	lie.go       answers that are not true
//	fleet.go     all of them, and their gossip
//	orders.go    what tests do to them
//
// Differences to real agents: what was not measured while an agent was down is
// there when it is back; there are no debug pages; no answer is ever late
// because of a disk.
package virtual
