// Package roster knows who is here, by gossip among agents and aggregators.
//
// It wraps hashicorp/memberlist, of which nothing shows: what goes out is an
// immutable [Snapshot], replaced when something changes. Gossip carries
// membership and nothing else: a name, an address, and the few bytes in
// meta.go.
//
// The roster says where a member is, not who it is. Whoever has the gossip
// key can claim any name and any address; names and addresses that cannot be
// are refused, and data always needs the certificate of the member
// (package identity).
//
//	config.go    what a member is told, and its timing (timing.go)
//	roster.go    start, leave, die
//	delegate.go  what memberlist asks: our meta, whether to admit a member
//	table.go     what memberlist reports, and the snapshots made of it
//	join.go      when to join whom (resolve.go: where that is)
//	transport.go how many joins are served at a time
//	keys.go      the gossip keys, followed as their file changes
package roster
