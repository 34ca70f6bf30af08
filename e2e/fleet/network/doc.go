// Package network is the network between the hosts of a fleet that runs in one
// process on loopback. Each host has a loopback address of its own (127.10.0.1,
// 127.10.0.2, …); all its traffic goes through its [Host], and the [Network]
// decides what passes. So hosts can be paused and partitioned without root,
// network namespaces or processes of their own.
//
// # What a cut does
//
// Nothing passes between two hosts on different sides of a partition, or from
// or to a paused host. As with real packets that are dropped, nobody is told:
//
//   - A dial hangs until its context ends or the link is back.
//   - A connection stays open. Reads hang until the link is back, the deadline
//     passes or the connection is closed. What was under way, the end of the
//     stream and a reset included, arrives when the link is back: nothing is
//     lost, since TCP would send it again.
//   - Writes are accepted while there is room in the kernel's buffers, a few
//     megabytes on loopback, and then hang like reads. It is the other end that
//     withholds them. Were they to hang at once, closing a TLS connection would
//     take 5 s: crypto/tls says goodbye first, with that deadline, and net/http
//     closes connections one after the other.
//   - Packets of gossip are gone for good.
//
// A paused process is not stopped: its timers go on, it just reaches nobody,
// itself included. What it writes meanwhile counts as written when it resumes.
//
// # Who is on the other side
//
// When both ends of a connection belong to hosts, each end knows the host of
// the other, whatever the addresses are. Anyone else (curl, a browser, most
// often at 127.0.0.1) is known by the address alone, is on the side of "all
// others" in a partition, and has no end that could withhold what was sent: to
// them, writes do hang at once, a host that closes the connection is seen to do
// so, and takes the 5 s if it is TLS. So whatever is on a host, its stand-in
// kubelet too, should listen and dial through the Host.
//
//	network.go   who reaches whom, and which connections have two known ends
//	host.go      dial and listen as a host
//	conn.go      a connection that reads only while the link is there
//	deadline.go  deadlines for what waits for the link
//	listener.go  accepts when the link to the client is there
//	gossip.go    memberlist's transport, for packets and streams (stream.go)
package network
