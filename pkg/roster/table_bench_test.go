package roster

import (
	"fmt"
	"testing"

	"github.com/hashicorp/memberlist"
)

// fleetOf are the members of a large fleet in random order, as memberlist has them.
func fleetOf(n int) []*memberlist.Node {
	nodes := make([]*memberlist.Node, n)
	for i := range nodes {
		// 7919 is prime: each once, in no order.
		k := i * 7919 % n
		nodes[i] = nodeOf(fmt.Sprintf("node-%05d", k), fmt.Sprintf("10.0.%d.%d", k/250, 1+k%250), agentMeta(false))
	}
	return nodes
}

// BenchmarkMassStart is what memberlist waits for, under its lock, when a fleet
// starts, and what a snapshot costs then.
func BenchmarkMassStart(b *testing.B) {
	nodes := fleetOf(5000)
	b.Run("joins", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			table := newTestTable()
			for _, n := range nodes {
				table.NotifyJoin(n)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(nodes)), "ns/member")
	})
	table := newTestTable()
	for _, n := range nodes {
		table.NotifyJoin(n)
	}
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			table.swap()
		}
	})
	b.Run("alive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			table.alive()
		}
	})
}

// BenchmarkRollingRestart is a fleet in which each member announces that it
// leaves, leaves, and comes back.
func BenchmarkRollingRestart(b *testing.B) {
	nodes, leaving := fleetOf(5000), fleetOf(5000)
	for _, n := range leaving {
		n.Meta = agentMeta(true).encode()
	}
	table := newTestTable()
	for _, n := range nodes {
		table.NotifyJoin(n)
	}
	b.ReportAllocs()
	for b.Loop() {
		for i, n := range nodes {
			table.NotifyUpdate(leaving[i])
			table.NotifyLeave(leaving[i])
			table.NotifyJoin(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(3*b.N*len(nodes)), "ns/event")
}
