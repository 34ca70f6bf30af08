// Package wire is what aggregators and agents say to each other.
//
// An aggregator asks with a GET of [ChunksPath] and a query (see [Values]); an
// agent answers with a stream of frames (see wire.proto), each preceded by its
// length: a header, the chunks as they are stored, and an end that says
// whether that was all. The version is part of the path: an agent that does
// not know it answers 404, and the aggregator calls that version skew.
package wire

//go:generate protoc --go_out=. --go_opt=paths=source_relative wire.proto
