package resource

import (
	"net/http"
	"testing"
	"time"

	viewer "github.com/rollcall-metrics/rollcall/e2e/dashboard"
)

// TestDashboardGaps is what a page shows when samples are missing.
func TestDashboardGaps(t *testing.T) {
	play(t, map[string]script{
		"none": browse(func(p *page, _ []*entity) {
			p.until(182)
			p.sum(viewer.CPU, 75, "75:200 90:200 105:200 120:200 135:200 150:200 165:200")
		}),
		"one slot": browse(func(p *page, apps []*entity) {
			p.until(98) // slot 90 was sampled
			p.node().failing(errDown)
			p.until(105)
			apps[0].uses(usage{300 * milli, 128 * mebi})
			p.until(113)
			p.node().failing(nil)
			p.until(119) // the others wait a slot for it
			p.sum(viewer.CPU, 75, "75:200 90:200")
			p.until(137)
			p.shows("cart-0", viewer.CPU, 75, "75:100 90:100 105:200 120:300")
			p.shows("cart-0", viewer.Memory, 75, "75:64 90:64 105:64 120:128")
			p.sum(viewer.CPU, 75, "75:200 90:200 105:300 120:400")
			p.shows("node-1", viewer.CPU, 75, "75:1500 90:1500 105:1500 120:1500")
		}),
		"two slots": browse(func(p *page, apps []*entity) {
			p.until(98)
			p.node().failing(errDown)
			p.until(105)
			apps[0].uses(usage{400 * milli, 128 * mebi})
			p.until(128)
			p.node().failing(nil)
			p.until(130) // after that the others wait no more
			p.failed["cart-0"], p.failed["node-1"] = true, true
			p.until(134)
			p.shows("cart-0", viewer.CPU, 75, "75:100 90:100")
			p.sum(viewer.CPU, 75, "75:200 90:200 105:100 120:100")
			p.until(152)
			p.shows("cart-0", viewer.CPU, 75, "75:100 90:100 105:300 120:300 135:400")
			p.shows("cart-0", viewer.Memory, 75, "75:64 90:64 105:64 120:64 135:128")
			p.sum(viewer.CPU, 75, "75:200 90:200 105:400 120:400 135:500")
			p.shows("node-1", viewer.Memory, 75, "75:4096 90:4096 105:4096 120:4096 135:4096")
		}),
		"three slots": browse(func(p *page, apps []*entity) {
			p.until(98)
			p.node().failing(errDown)
			p.until(105)
			apps[0].uses(usage{400 * milli, 128 * mebi})
			p.until(130)
			p.failed["cart-0"], p.failed["node-1"] = true, true
			p.until(143)
			p.node().failing(nil)
			p.until(182)
			p.shows("cart-0", viewer.CPU, 75, "75:100 90:100 150:400 165:400")
			p.shows("cart-0", viewer.Memory, 75, "75:64 90:64 150:128 165:128")
			p.sum(viewer.CPU, 75, "75:200 90:200 105:100 120:100 135:100 150:500 165:500")
			p.shows("node-1", viewer.CPU, 75, "75:1500 90:1500 150:1500 165:1500")
		}),
		"one slot, and the counter began anew": browse(func(p *page, apps []*entity) {
			p.until(98)
			p.node().failing(errDown)
			p.until(105)
			apps[0].reset()
			p.until(113)
			p.node().failing(nil)
			p.failed["cart-0"] = true
			p.until(152)
			// In slot 120 the kubelet has no rate yet.
			p.shows("cart-0", viewer.CPU, 75, "75:100 90:100 135:100")
			p.shows("cart-0", viewer.Memory, 75, "75:64 90:64 105:64 120:64 135:64")
		}),
		"one slot, and the container began anew": browse(func(p *page, apps []*entity) {
			p.until(98)
			p.node().failing(errDown)
			p.until(101)
			apps[0].restart()
			p.until(113)
			p.node().failing(nil)
			p.failed["cart-0"] = true
			p.until(152)
			p.shows("cart-0", viewer.CPU, 75, "75:100 90:100 120:100 135:100")
		}),
		"one of two containers": browse(func(p *page, _ []*entity) {
			proxy := p.node().add("shop/cart-0/0", "proxy", schedule{15, 0})
			proxy.uses(usage{50 * milli, 32 * mebi})
			p.until(152)
			p.shows("cart-0", viewer.CPU, 75, "75:100 90:100 105:100 120:150 135:150")
			p.shows("cart-0", viewer.Memory, 75, "75:64 90:64 105:96 120:96 135:96")
		}),
		"agent that is killed, and starts again": browse(func(p *page, _ []*entity) {
			p.until(100)
			p.node().kill()
			p.failed["cart-0"], p.failed["node-1"] = true, true
			p.until(114)
			p.node().start()
			p.until(152)
			p.sum(viewer.CPU, 75, "75:200 90:200 105:200 120:200 135:200")
		}),
	})
}

// TestDashboardLate is what a page shows when nodes answer late, or not at all.
func TestDashboardLate(t *testing.T) {
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	play(t, map[string]script{
		"kubelet that takes long once": browse(func(p *page, _ []*entity) {
			p.until(98)
			p.node().change(func() { p.node().takes = 8 * time.Second }) // until 119
			p.until(117)
			p.sum(viewer.CPU, 75, "75:200 90:200") // though node-2 has told of 105
			p.node().change(func() { p.node().takes = 0 })
			p.until(137)
			p.sum(viewer.CPU, 75, "75:200 90:200 105:200 120:200")
		}),
		"kubelet that always takes long": browse(func(p *page, _ []*entity) {
			p.until(98)
			p.node().change(func() { p.node().takes = 8 * time.Second })
			p.until(182)
			p.sum(viewer.CPU, 75, "75:200 90:200 105:200 120:200 135:200 150:200")
		}),
		"slow agent": browse(func(p *page, _ []*entity) {
			p.node().delay.Store(int64(time.Second))
			p.until(182)
			p.sum(viewer.CPU, 75, "75:200 90:200 105:200 120:200 135:200 150:200 165:200")
		}),
		"slow agent, for whom asks now and then": browse(func(p *page, _ []*entity) {
			p.node().delay.Store(int64(600 * time.Millisecond))
			for _, at := range []int64{96, 126, 156, 181} {
				p.fleet.until(at)
				p.until(at + 4)
			}
			p.sum(viewer.CPU, 75, "75:200 90:200 105:200 120:200 135:200 150:200 165:200")
		}),
		"agent slower than is waited for": browse(func(p *page, _ []*entity) {
			p.failed["cart-0"], p.failed["node-1"] = true, true
			p.node().delay.Store(int64(3 * time.Second))
			p.until(182)
			p.shows("cart-0", viewer.CPU, 60, "60:100 75:100")
			p.shows("cart-1", viewer.CPU, 60, "60:100 75:100 90:100 105:100 120:100 135:100 150:100 165:100")
			p.node().delay.Store(0)
			p.until(212)
			p.sum(viewer.CPU, 60, "60:200 75:200 90:200 105:200 120:200 135:200 150:200 165:200 180:200 195:200")
		}),
		"agent that is silent": browse(func(p *page, _ []*entity) {
			p.failed["cart-0"], p.failed["node-1"] = true, true
			p.node().answering(silent)
			p.until(182)
			p.shows("cart-0", viewer.CPU, 60, "60:100 75:100")
			p.shows("cart-1", viewer.CPU, 60, "60:100 75:100 90:100 105:100 120:100 135:100 150:100 165:100")
			p.shows("node-2", viewer.CPU, 150, "150:1500 165:1500")
			p.node().answering(nil)
			p.until(212)
			p.sum(viewer.CPU, 60, "60:200 75:200 90:200 105:200 120:200 135:200 150:200 165:200 180:200 195:200")
		}),
		"node that is cut off": browse(func(p *page, _ []*entity) {
			p.failed["cart-0"], p.failed["node-1"] = true, true
			for _, a := range p.all {
				a.lose("node-1", true)
			}
			p.until(182)
			p.shows("cart-0", viewer.CPU, 60, "60:100 75:100")
			p.shows("cart-1", viewer.CPU, 60, "60:100 75:100 90:100 105:100 120:100 135:100 150:100 165:100")
			for _, a := range p.all {
				a.lose("node-1", false)
			}
			p.until(212)
			p.sum(viewer.CPU, 60, "60:200 75:200 90:200 105:200 120:200 135:200 150:200 165:200 180:200 195:200")
		}),
		"aggregators that start while an agent is silent": browse(func(p *page, _ []*entity) {
			p.node().answering(silent)
			p.failed["cart-0"], p.failed["node-1"] = true, true
			for i := range p.all {
				p.restart(i)
			}
			p.until(121)
			p.shows("cart-0", viewer.CPU, 0, "")
			p.shows("cart-1", viewer.CPU, 60, "60:100 75:100 90:100 105:100")
		}),
	})
}

// TestDashboardTurns is what a page shows while aggregators come and go, and pods move.
func TestDashboardTurns(t *testing.T) {
	play(t, map[string]script{
		"aggregator that starts again": browse(func(p *page, _ []*entity) {
			for _, at := range []int64{99, 111, 127, 144} { // at all times of a slot
				p.until(at)
				p.restart(0)
			}
			p.until(182)
			p.sum(viewer.CPU, 75, "75:200 90:200 105:200 120:200 135:200 150:200 165:200")
		}),
		"aggregator that starts after a gap": browse(func(p *page, apps []*entity) {
			p.until(98)
			p.node().failing(errDown)
			p.until(105)
			apps[0].uses(usage{400 * milli, 128 * mebi})
			p.until(128)
			p.node().failing(nil)
			p.failed["cart-0"], p.failed["node-1"] = true, true
			p.until(152)
			p.restart(1)
			p.until(167)
			p.shows("cart-0", viewer.CPU, 75, "75:100 90:100 105:300 120:300 135:400 150:400")
		}),
		"pod that moves": browse(func(p *page, apps []*entity) {
			p.until(112) // slot 105 was sampled
			apps[0].end()
			p.failed["cart-0"] = true
			moved := p.nodes["node-2"].add("shop/cart-0/moved", "app", schedule{15, 0})
			moved.uses(usage{300 * milli, 96 * mebi})
			p.until(182)
			p.shows("cart-0", viewer.Memory, 75, "75:64 90:64 105:64 120:96 135:96 150:96 165:96")
			p.shows("cart-0", viewer.CPU, 75, "75:100 90:100 105:100 135:300 150:300 165:300")
		}),
		"pods that swap their nodes, and are still told of where they were": browse(func(p *page, _ []*entity) {
			p.until(112)
			p.failed["cart-0"], p.failed["cart-1"] = true, true
			for node, pod := range map[string]string{"node-2": "shop/cart-0/moved", "node-1": "shop/cart-1/moved"} {
				p.nodes[node].add(pod, "app", schedule{15, 0}).uses(usage{300 * milli, 96 * mebi})
			}
			p.until(167)
			p.restart(1) // it hears of all at once
			p.until(182)
			for _, pod := range p.pods {
				p.shows(pod, viewer.Memory, 75, "75:64 90:64 105:64 120:96 135:96 150:96 165:96")
			}
		}),
		"nobody who asks for a while": browse(func(p *page, _ []*entity) {
			p.fleet.until(400)
			p.until(407)
			p.sum(viewer.CPU, 330, "330:200 345:200 360:200 375:200 390:200")
		}),
	})
}
