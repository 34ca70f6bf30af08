// Package gossip runs hundreds of real members of the roster in one process:
// what each costs, how fast they find each other, and who is found while a
// tenth of them restarts.
//
// Each member is a roster.Roster with a loopback address of its own, behind a
// network that can be partitioned (package network). Two cores bear about 300
// in real time; of more, all intervals have to be stretched ([Stretch]), and
// times read accordingly. What thousands of members are for one of them is
// package crowd's.
//
//	fleet.go    members: start, restart, which of them are found
//	restart.go  restarts of many together
//	watch.go    the share that is found, over time
//	traffic.go  what goes over the network
//
// The tests run at a size that fits any machine. At full size they log figures,
// and take a quarter of an hour for 300 members and two hours for 1000 stretched
// tenfold. Nothing else may run on the machine: starved members suspect each
// other, and what they send about it starves them further.
//
//	ROLLCALL_SCALE=1 go test ./e2e/gossip -run Scale -count=1 -timeout 4h -v
//	ROLLCALL_SCALE=300x1 go test ./e2e/gossip -run Scale -count=1 -timeout 1h -v
package gossip
