// Package crowd stands in for thousands of gossip members, so that what a few
// real ones cost among them can be measured on one machine: 5000 instances of
// memberlist would take 55 GB, a crowd of 5000 takes 7 MB.
//
// It speaks memberlist's protocol itself. The other way, one instance of
// memberlist whose transport answers for the rest, saves little: memberlist
// refuses pings for names but its own, so pings have to be taken apart and
// answered outside, which needs the messages and the encryption anyway; and it
// would only guess how those it stands for are, where the crowd knows. Labels
// are memberlist's own functions; the messages are its structs, copied, as it
// exports none of them.
//
// On Linux, all of 127.0.0.0/8 is this machine. Member i has the address
// 127.100.0.1 + i, if nobody says otherwise. All have one port, and behind it
// are one UDP socket and one TCP listener on every address; the kernel tells for
// whom a packet was. Real members need a port of their own: the crowd's is taken
// at all addresses.
//
// The crowd is of one mind. What one member hears, all know; a real member, a
// guest, hears of it at the rate at which 5000 members would tell it, as many
// times, and is probed and visited for push/pull as often:
//
//	crowd.go    the crowd, and what tests do to its members
//	who.go      who its members are
//	counts.go   what guests have sent
//	table.go    what it knows of itself and of guests, and how that changes
//	queue.go    what a guest is still to be told, and in which order
//	guests.go   gossip, probes and visits to guests
//	packets.go  UDP: what guests send
//	streams.go  TCP: push/pull and pings
//	message.go  the messages and their encoding
//	seal.go     label and encryption
//
// What is left out: compression, which rollcall does not use; checksums in
// what the crowd sends, which are optional; keys that rotate; and indirect
// probes on behalf of a guest take a shortcut (packets.go), so that a guest cut
// off from another is cut off from it by way of the crowd, too.
package crowd
