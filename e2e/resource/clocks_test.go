package resource

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// setAhead has a node's clock be so many seconds ahead, before it begins.
func (n *node) setAhead(seconds int64) {
	n.change(func() {
		n.skew = seconds
		for _, e := range n.entities {
			e.begin()
		}
	})
}

// shift sets a node's clock, which is wrong already.
func (n *node) shift(seconds int64) {
	n.change(func() {
		n.skew += seconds
		for _, e := range n.entities {
			e.born, e.since, e.measured = e.born+seconds, e.since+seconds, e.measured+seconds
		}
	})
}

// skewed is a fleet with a pod on node-1, whose clock is ahead, and one on node-2,
// whose clock is right. It tells what is expected of the first in two slots.
func skewed(seconds int64, want ...string) script {
	return func(f *fleet) {
		f.nodes["node-1"].setAhead(seconds)
		f.run(f.nodes["node-1"], "shop/cart/1", "app")
		f.run(f.nodes["node-2"], "shop/till/1", "app")
		f.begin()
		for i, w := range want {
			f.until(int64(122 + 15*i))
			f.expect("shop/cart", w)
		}
		f.expect("shop/till", "app 100m 64Mi @120 20s")
	}
}

// TestClocks is clocks of nodes that are wrong. Timestamps are theirs, whatever that
// is: nobody makes up another one.
func TestClocks(t *testing.T) {
	const (
		ahead  = "none: node node-1: refused (its clock is 1h0m0s ahead of this aggregator's; see that both nodes have the right time)"
		behind = "none: node node-1: refused (its clock is 1h0m0s behind this aggregator's; see that both nodes have the right time)"
		long   = "none: node node-1: refused (its clock is 876000h0m0s behind this aggregator's; see that both nodes have the right time)"
	)
	play(t, map[string]script{
		"1 s ahead":  skewed(1, "app 100m 64Mi @110 20s", "app 100m 64Mi @120 10s"),
		"10 s ahead": skewed(10, "app 100m 64Mi @110 20s", "app 100m 64Mi @120 10s"),
		// The agent has the slot in its ring, where the window is not.
		"20 s ahead":       skewed(20, "app 100m 64Mi @110 20s", "app 100m 64Mi @120 10s"),
		"40 s ahead":       skewed(40, "app 100m 64Mi @110 20s", "app 100m 64Mi @120 10s"),
		"an hour ahead":    skewed(3600, ahead, ahead),
		"1 s behind":       skewed(-1, "app 100m 64Mi @110 20s", "app 100m 64Mi @120 10s"),
		"20 s behind":      skewed(-20, "app 100m 64Mi @90 10s", "app 100m 64Mi @90 10s"),
		"40 s behind":      skewed(-40, "app 100m 64Mi @80 20s", "app 100m 64Mi @80 20s"),
		"an hour behind":   skewed(-3600, behind, behind),
		"a century behind": skewed(-100*365*86400, long, long),
		"an hour ahead, then right": func(f *fleet) {
			f.node().setAhead(3600)
			f.run(f.node(), "shop/cart/1", "app")
			f.begin()
			f.until(92)
			f.expect("shop/cart", ahead)
			f.node().shift(-3600)
			f.until(107) // it was measured before, an hour from now
			f.expect("shop/cart", "none: …")
			f.until(122) // since when, nobody can tell
			f.expect("shop/cart", "app 100m 64Mi @110 30s")
			f.until(137)
			f.expect("shop/cart", "app 100m 64Mi @120 10s")
		},
		"20 s ahead, and the kubelet gives no rate": func(f *fleet) {
			f.node().setAhead(20)
			f.run(f.node(), "shop/cart/1", "app")[0].says = unset(model.CPU)
			f.begin()
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi @110 20s")
		},
		"an hour ahead, for more than an hour": func(f *fleet) {
			f.node().setAhead(3600)
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(900)
			app.uses(usage{900 * milli, 512 * mebi})
			f.until(3722) // what was measured an hour ago looks new
			f.expect("shop/cart", ahead)
		},
	})
}

// TestOrder is one measurement after the other, as the kubelet tells of them.
func TestOrder(t *testing.T) {
	play(t, map[string]script{
		"the same twice": func(f *fleet) {
			f.run(f.node(), "shop/cart/1", "app")[0].schedule = schedule{30, 5}
			f.begin()
			for i, want := range []string{"@65 30s", "@95 30s", "@95 30s", "@125 30s", "@125 30s"} {
				f.until(int64(92 + 15*i))
				f.expect("shop/cart", "app 100m 64Mi "+want)
			}
		},
		"the same for two minutes": func(f *fleet) { // the kubelet measures no more
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(92)
			app.change(func() { app.every = 1 << 40 })
			f.until(107)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(212)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(242)
			f.expect("shop/cart", "none: the kubelet of node node-1 has not measured it yet")
		},
		"an older one after a newer one": func(f *fleet) {
			app := f.run(f.node(), "shop/cart/1", "app")[0]
			f.begin()
			f.until(92)
			old := app.last
			f.expect("shop/cart", "app 100m 64Mi @80 20s")
			f.until(107)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			app.saying(func(s *model.Sample) { *s = old })
			f.until(115)
			app.saying(nil)
			f.until(122)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(137)
			f.expect("shop/cart", "app 100m 64Mi @120 30s")
		},
		"a kubelet that takes 10 s": func(f *fleet) {
			f.run(f.node(), "shop/cart/1", "app")
			f.node().takes = 10 * time.Second
			f.begin()
			f.until(121) // slot 105 comes at 121.2
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(127)
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(131) // slot 120, of which the node has nothing yet
			f.expect("shop/cart", "app 100m 64Mi @110 20s")
		},
		"a kubelet that takes 5 s": func(f *fleet) {
			f.run(f.node(), "shop/cart/1", "app")
			f.node().takes = 5 * time.Second
			f.begin()
			f.until(121) // slot 105 came at 116.2, after the first who asked for it
			f.expect("shop/cart", "app 100m 64Mi @90 10s")
			f.until(137)
			f.expect("shop/cart", "app 100m 64Mi @110 20s")
		},
		"a kubelet that takes 5 s, by one aggregator and then the other": func(f *fleet) {
			f.run(f.node(), "shop/cart/1", "app")
			f.node().takes = 5 * time.Second
			f.begin()
			f.until(116) // slot 105 comes at 116.2
			f.says(0, "shop/cart", "app 100m 64Mi @90 10s")
			f.until(117)
			before := f.all[1].show("shop/cart")
			f.says(0, "shop/cart", before)
		},
	})
}
