package resource

import (
	"errors"
	"testing"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// A script is what happens to a fleet of node-1, which is asked 6 s after a slot's
// beginning, and node-2, 3 s after. Aggregators answer for the last slot of which all
// should have a sample, which is 9 s after.
type script func(f *fleet)

func play(t *testing.T, scripts map[string]script) {
	t.Helper()
	for name, s := range scripts {
		t.Run(name, func(t *testing.T) {
			inFleet(t, []string{"node-1", "node-2"}, s)
		})
	}
}

var errDown = &kubelet.Error{Kind: kubelet.Unreachable, Err: errors.New("connection refused")}

// running is a fleet in which the pod shop/cart runs on node-1.
func running(s script) script {
	return func(f *fleet) {
		f.run(f.node(), "shop/cart/1", "app")
		f.begin()
		f.until(92)
		f.expect("shop/cart", "app 100m 64Mi @80 20s")
		f.expect("node-1", "1500m 4Gi @80 20s")
		s(f)
	}
}

// TestFailures is what is left of a node's values when something does not answer.
func TestFailures(t *testing.T) {
	play(t, map[string]script{
		"one missed scrape": running(func(f *fleet) {
			f.node().failing(errDown) // for slot 90
			f.until(107)
			f.expect("shop/cart", "app 100m 64Mi @80 20s")
			f.node().failing(nil)
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi @110 30s")
			f.until(137)
			f.expect("shop/cart", "app 100m 64Mi @120 10s")
		}),
		"kubelet that does not answer": running(func(f *fleet) {
			f.node().failing(errDown)
			for _, at := range []int64{107, 122, 137} {
				f.until(at)
				f.expect("shop/cart", "app 100m 64Mi @80 20s")
				f.expect("node-1", "1500m 4Gi @80 20s")
			}
			f.until(152)
			f.expect("shop/cart", "none: node node-1: stale (its newest sample is 1m0s older than this slot, too old to be shown)")
			f.expect("node-1", "none: node node-1: stale (its newest sample is 1m0s older than this slot, too old to be shown)")
			f.until(600)
			f.expect("shop/cart", "none: node node-1: stale (its newest sample is 8m30s older than this slot, too old to be shown)")
			f.node().failing(nil)
			f.until(632)
			f.expect("shop/cart", "app 100m 64Mi @620 20s")
		}),
		"kubelet that did not answer for minutes, and has no rate at first": running(func(f *fleet) {
			f.node().failing(errDown)
			f.until(600)
			f.node().entities[1].saying(unset(model.CPU))
			f.node().failing(nil)
			f.until(632)
			f.expect("shop/cart", "app 100m 64Mi @620 20s")
		}),
		"agent that does not run": running(func(f *fleet) {
			f.node().kill()
			for _, at := range []int64{107, 122, 137} {
				f.until(at)
				f.expect("shop/cart", "app 100m 64Mi @80 20s")
			}
			f.until(152)
			f.expect("shop/cart", "none: node node-1: refused (…connect: dial tcp 10.0.0.1:9810: connection refused)")
			f.expect("node-1", "none: node node-1: refused (…connect: dial tcp 10.0.0.1:9810: connection refused)")
			f.until(600)
			f.expect("shop/cart", "none: node node-1: refused (…connect: dial tcp 10.0.0.1:9810: connection refused)")
			f.node().start()
			f.until(632)
			f.expect("shop/cart", "app 100m 64Mi @620 20s")
		}),
		"agent started anew, with its ring": running(func(f *fleet) {
			f.until(107)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.node().restart(true) // and takes a sample of slot 105 at once
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi @100 10s")
			f.until(137)
			f.expect("shop/cart", "app 100m 64Mi @120 20s")
		}),
		"agent started anew, with its ring, while only one aggregator has asked": running(func(f *fleet) {
			f.until(107)
			f.says(0, "shop/cart", "app 100m 64Mi @90 10s")
			f.node().restart(true)
			f.says(1, "shop/cart", "app 100m 64Mi @90 10s")
		}),
		"agent and aggregator started anew, while the kubelet gives no rate": func(f *fleet) {
			f.run(f.node(), "shop/cart/1", "app")[0].says = unset(model.CPU)
			f.begin()
			f.until(107)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.node().restart(true)
			f.all[1].restart()
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
		},
		"agent started anew, without its ring": running(func(f *fleet) {
			f.until(107)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.node().restart(false)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi @100 30s") // over how long is not known
			f.until(137)
			f.expect("shop/cart", "app 100m 64Mi @120 20s")
		}),
		"agent started anew, without its ring, late in a slot": func(f *fleet) {
			f.run(f.node(), "shop/cart/1", "app")[0].rest = 4
			f.begin()
			f.until(116)
			f.expect("shop/cart", "app 100m 64Mi @104 10s")
			f.node().restart(false) // it takes a sample of slot 105, which has been asked for
			f.expect("shop/cart", "app 100m 64Mi @104 10s")
			f.all[1].restart() // it has nothing else to show
			f.says(1, "shop/cart", "app 100m 64Mi @114 30s")
		},
		"aggregator started anew": running(func(f *fleet) {
			f.until(107)
			f.all[1].restart()
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.expect("node-1", "1500m 4Gi @90 10s")
			f.all[0].restart()
			f.until(122)
			f.all[0].restart()
			f.expect("shop/cart", "app 100m 64Mi @110 20s")
		}),
		"aggregator started anew while a node is away": running(func(f *fleet) {
			f.node().kill()
			f.until(107)
			f.all[1].restart()
			f.says(0, "shop/cart", "app 100m 64Mi @80 20s")
			f.says(1, "shop/cart", "none: node node-1: refused (connect: dial tcp 10.0.0.1:9810: connection refused)")
			f.says(1, "node-1", "none: node node-1: refused (connect: dial tcp 10.0.0.1:9810: connection refused)")
			f.expect("node-2", "1500m 4Gi @90 20s")
		}),
		"node that one aggregator does not reach": running(func(f *fleet) {
			f.all[1].lose("node-1", true)
			f.until(107)
			f.says(0, "shop/cart", "app 100m 64Mi @90 10s")
			f.says(1, "shop/cart", "app 100m 64Mi @80 20s")
			f.says(1, "node-2", "1500m 4Gi @90 20s")
			f.all[1].hear("node-1", roster.Dead)
			f.until(137)
			f.says(0, "shop/cart", "app 100m 64Mi @120 10s")
			f.says(1, "shop/cart", "app 100m 64Mi @80 20s")
			f.until(152)
			f.says(0, "shop/cart", "app 100m 64Mi @140 20s")
			f.says(1, "shop/cart", "none: node node-1: dead (its agent at 10.0.0.1 stopped answering gossip)")
			f.says(1, "node-1", "none: node node-1: dead (its agent at 10.0.0.1 stopped answering gossip)")
			f.all[1].lose("node-1", false)
			f.all[1].hear("node-1", roster.Alive)
			f.until(167)
			f.expect("shop/cart", "app 100m 64Mi @150 10s")
		}),
		"node that leaves": running(func(f *fleet) {
			f.node().kill()
			f.expected.set("node-1", false)
			f.expect("shop/cart", "none: there is no node node-1")
			f.expect("node-1", "none: there is no node node-1")
			f.expect("node-2", "1500m 4Gi @70 10s")
			f.forget("shop/cart")
			f.expect("shop/cart", "none: there is no running pod of that name")
		}),
		"node created anew under its name": running(func(f *fleet) {
			f.node().kill()
			f.expected.set("node-1", false)
			f.expect("node-1", "none: there is no node node-1")
			f.until(120)
			n := f.join("node-1")
			f.expect("shop/cart", "none: node node-1: refused (connect: dial tcp 10.0.0.1:9810: connection refused)")
			f.run(n, "shop/cart/2", "app")
			n.start()
			f.until(137)
			f.expect("shop/cart", "none: container app: its CPU was measured only once so far")
			f.expect("node-1", "none: its CPU was measured only once so far")
			f.until(152)
			f.expect("shop/cart", "app 100m 64Mi @140 20s")
			f.expect("node-1", "1500m 4Gi @140 20s")
		}),
		"node created anew under its name, between two questions": running(func(f *fleet) {
			f.node().kill()
			f.until(94)
			n := f.join("node-1")
			f.run(n, "shop/cart/2", "app")
			n.start()
			f.expect("shop/cart", "none: the kubelet of node node-1 still reports another pod of that name, with UID 1 instead of 2")
			f.expect("node-1", "1500m 4Gi @80 20s") // of the one before: nobody knows better
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi @110 16s") // since its start
			f.expect("node-1", "1500m 4Gi @110 16s")
		}),
	})
}
