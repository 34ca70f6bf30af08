// Package limit is the least that a question to all nodes can cost with Go and
// mutual TLS 1.3: as many connections, the same bytes, 256 in flight, but no
// HTTP, nothing decoded and nothing kept. What an aggregator costs is told as a
// multiple of it.
//
// A connection begins with the number of the node that it is for. Then the
// client writes questions, the server answers; each is its length in four bytes,
// most significant first, and so many bytes. The first byte of a question is
// which of the recorded bodies is wanted; the rest is as long as what an
// aggregator would ask, and is not read.
package limit
