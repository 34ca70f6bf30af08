package resource

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// TestRestarts is counters that begin anew.
func TestRestarts(t *testing.T) {
	play(t, map[string]script{
		"container, between two samples": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(101)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			app.restart()
			app.uses(usage{400 * milli, 16 * mebi})
			f.until(107)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(122) // measured at 110, 9 s old
			f.expect("shop/cart", "none: container app: its CPU was measured only once so far")
			f.until(137)
			f.expect("shop/cart", "app 400m 16Mi @120 10s")
		},
		"container, after the last sample": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(115)
			app.restart()
			app.uses(usage{400 * milli, 16 * mebi})
			f.until(122) // slot 105 was before
			f.expect("shop/cart", "app 100m 64Mi @110 20s")
			f.until(137) // measured at 120, 5 s old
			f.expect("shop/cart", "none: container app: its CPU was measured only once so far")
			f.until(152)
			f.expect("shop/cart", "app 400m 16Mi @140 20s")
		},
		"container that is old enough when it is measured": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(92)
			app.restart()
			app.uses(usage{400 * milli, 16 * mebi})
			app.change(func() { app.schedule = schedule{30, 12} })
			f.until(107) // the kubelet has nothing to say of it
			f.expect("shop/cart", "none: the kubelet of node node-1 has not measured it yet")
			f.until(122) // since its start
			f.expect("shop/cart", "app 400m 16Mi @102 10s")
			f.until(137)
			f.expect("shop/cart", "app 400m 16Mi @102 10s")
			f.until(152)
			f.expect("shop/cart", "app 400m 16Mi @132 30s")
		},
		"counter, without a new startTime": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(103)
			app.reset()
			app.uses(usage{400 * milli, 16 * mebi})
			f.until(122) // the kubelet has no rate either
			f.expect("shop/cart", "none: container app: its CPU was measured only once so far")
			f.until(137)
			f.expect("shop/cart", "app 400m 16Mi @120 10s")
		},
		"counter, without a new startTime, and the kubelet has a rate": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(103)
			app.reset()
			app.uses(usage{400 * milli, 16 * mebi})
			app.saying(set(model.CPU, 350*milli))
			f.until(122) // over how long a time it does not say
			f.expect("shop/cart", "app 350m 16Mi @110 30s")
		},
		"kubelet, which says at first that cpu is 0": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(92)
			f.node().failing(errDown)
			f.until(107)
			f.node().failing(nil)
			app.saying(set(model.CPU, 0))
			f.until(115)
			app.saying(nil)
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi @110 30s")
		},
		"kubelet, which says at first nothing, and then that cpu is 0": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(92)
			app.saying(unset(model.Measured, model.CPU, model.CPUTotal, model.WorkingSet))
			f.until(115)
			app.saying(set(model.CPU, 0))
			f.until(122)
			f.expect("shop/cart", "none: the kubelet of node node-1 has not measured it yet")
			f.until(137)
			f.expect("shop/cart", "app 100m 64Mi @120 30s")
		},
		"kubelet and agent, which begins with a cpu of 0": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(82)
			app.saying(set(model.CPU, 0))
			f.until(92)
			f.node().restart(false)
			f.until(107) // of what is older than a minute, idle is more likely
			f.expect("shop/cart", "app 0 64Mi @90 30s")
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi @110 20s")
		},
		"node": func(f *fleet) {
			n := f.node()
			app := f.run(n, "shop/cart/1", "app")[0]
			f.begin()
			f.until(92)
			f.expect("node-1", "1500m 4Gi @80 20s")
			n.kill()
			f.until(111)
			for _, e := range n.entities {
				e.restart()
				e.change(func() { e.schedule = schedule{10, 1} })
			}
			app.uses(usage{400 * milli, 16 * mebi})
			n.start()
			f.until(122)
			f.expect("node-1", "none: its CPU was measured only once so far")
			f.expect("shop/cart", "none: container app: its CPU was measured only once so far")
			f.until(137)
			f.expect("node-1", "1500m 4Gi @121 10s")
			f.expect("shop/cart", "app 400m 16Mi @121 10s")
		},
	})
}
