package resource

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	viewer "github.com/rollcall-metrics/rollcall/e2e/dashboard"
)

// pageWithin is how long an answer may take, by the bubble's clock.
const pageWithin = time.Second

// A page is one of the Kubernetes Dashboard that is looked at: each second it asks each
// aggregator for the pods shop/cart-0, cart-1 and so on, of which the i-th runs on
// node-(i+1), and for the nodes. Whatever happens, it wants to be told the same of the
// same slot each time, and sums that are of all pods.
type page struct {
	*fleet
	pods   []string
	failed map[string]bool // pods and nodes of which a series may end before others
	// told is what was told of each metric, by pod or node and slot, and by whom first.
	told map[viewer.Metric]map[string]map[int64]uint64
	// last is what was told last, of each aggregator.
	last []map[viewer.Metric]map[string]viewer.Series
}

var both = []viewer.Metric{viewer.CPU, viewer.Memory}

// look begins to look at so many pods.
func (f *fleet) look(pods int) *page {
	p := &page{fleet: f, failed: map[string]bool{}, told: map[viewer.Metric]map[string]map[int64]uint64{}}
	for i := range pods {
		p.pods = append(p.pods, fmt.Sprintf("cart-%d", i))
	}
	for range f.all {
		p.last = append(p.last, map[viewer.Metric]map[string]viewer.Series{})
	}
	for _, m := range both {
		p.told[m] = map[string]map[int64]uint64{}
	}
	return p
}

// until looks each second until so many seconds after the beginning.
func (p *page) until(second int64) {
	p.t.Helper()
	for at := time.Now().Unix() - p.epoch; at < second; {
		at = time.Now().Unix() - p.epoch + 1
		p.fleet.until(at)
		for i := range p.all {
			for _, m := range both {
				p.ask(i, m)
			}
		}
	}
}

// ask asks one aggregator, and checks what has to hold at any time.
func (p *page) ask(aggregator int, m viewer.Metric) {
	p.t.Helper()
	began := time.Now()
	now := began.Unix() - p.epoch
	c, err := viewer.Within(p.all[aggregator].board)
	if err != nil {
		p.t.Fatal(err)
	}
	all, err := c.Pods(p.t.Context(), "shop", p.pods, m)
	if err != nil {
		p.t.Fatalf("after %d s: %v", now, err)
	}
	took := time.Since(began)
	for name := range p.nodes {
		began := time.Now()
		s, known, err := c.Node(p.t.Context(), name, m)
		if err != nil {
			p.t.Fatalf("after %d s: %v", now, err)
		}
		if known {
			all[name] = s
		}
		took = max(took, time.Since(began))
	}
	if took > pageWithin {
		p.t.Errorf("after %d s aggregator %d takes %v to answer", now, aggregator, took)
	}
	p.sums(aggregator, m, all)
	for name, s := range all {
		if p.told[m][name] == nil {
			p.told[m][name] = map[int64]uint64{}
		}
		for _, point := range s {
			if was, ok := p.told[m][name][point.Second]; ok && was != point.Value {
				p.t.Errorf("after %d s aggregator %d says of %s of %s at %d s: %d; before it was %d", now, aggregator, m, name, point.Second-p.epoch, point.Value, was)
			}
			p.told[m][name][point.Second] = point.Value
		}
	}
	p.last[aggregator][m] = all
}

// sums checks that pods that have not failed have the same newest slot, none of which
// was ever newer, and so have nodes.
func (p *page) sums(aggregator int, m viewer.Metric, all map[string]viewer.Series) {
	p.t.Helper()
	now := time.Now().Unix() - p.epoch
	for _, names := range [][]string{p.pods, slices.Sorted(maps.Keys(p.nodes))} {
		ends := map[int64][]string{}
		for _, name := range names {
			before, has := p.last[aggregator][m][name].Last(), all[name].Last()
			if has < before {
				p.t.Errorf("after %d s aggregator %d tells of %s until %d s, before it was %d s", now, aggregator, name, has-p.epoch, before-p.epoch)
			}
			if has != 0 && !p.failed[name] {
				ends[has-p.epoch] = append(ends[has-p.epoch], name)
			}
		}
		if len(ends) > 1 && names[0] != "node-1" { // nodes are asked one by one
			p.t.Errorf("after %d s aggregator %d tells of pods until %v", now, aggregator, ends)
		}
	}
}

// restart restarts an aggregator, which may be told of less than the one before at first.
func (p *page) restart(aggregator int) {
	p.all[aggregator].restart()
	p.last[aggregator] = map[viewer.Metric]map[string]viewer.Series{}
}

// shows compares what all aggregators told last of a pod or node from a second on,
// as "second:value second:value", in millicores or MiB.
func (p *page) shows(name string, m viewer.Metric, from int64, want string) {
	p.t.Helper()
	for i := range p.all {
		if got := p.graph(p.last[i][m][name], m, from); got != want {
			p.t.Errorf("after %d s aggregator %d says of %s of %s\n\t%s\nwant\n\t%s", time.Now().Unix()-p.epoch, i, m, name, got, want)
		}
	}
}

// sum compares the sum of all pods.
func (p *page) sum(m viewer.Metric, from int64, want string) {
	p.t.Helper()
	for i := range p.all {
		var all []viewer.Series
		for _, name := range p.pods {
			all = append(all, p.last[i][m][name])
		}
		if got := p.graph(viewer.Sum(all...), m, from); got != want {
			p.t.Errorf("after %d s by aggregator %d the sum of %s is\n\t%s\nwant\n\t%s", time.Now().Unix()-p.epoch, i, m, got, want)
		}
	}
}

func (p *page) graph(s viewer.Series, m viewer.Metric, from int64) string {
	var points []string
	for _, point := range s {
		if second := point.Second - p.epoch; second >= from {
			value := point.Value
			if m == viewer.Memory {
				value /= mebi
			}
			points = append(points, fmt.Sprintf("%d:%d", second, value))
		}
	}
	return strings.Join(points, " ")
}

// shop runs the pods, cart-0 on node-1 and so on, measured at the beginning of each
// slot, with the container app each.
func (f *fleet) shop() (apps []*entity) {
	for i, name := range slices.Sorted(maps.Keys(f.nodes)) {
		apps = append(apps, f.sell(f.nodes[name], i))
	}
	return apps
}

// sell runs the i-th pod on a node.
func (f *fleet) sell(n *node, i int) *entity {
	pod := fmt.Sprintf("shop/cart-%d/%d", i, i)
	app := n.add(pod, "app", schedule{15, 0})
	f.tell(n, pod, "app")
	return app
}

// browse runs a test with two nodes that have a pod each, on a page that has been
// looked at since there were two aggregators.
func browse(script func(p *page, apps []*entity)) func(*fleet) {
	return func(f *fleet) {
		apps := f.shop()
		f.begin()
		synctest.Wait()
		p := f.look(len(apps))
		p.until(92)
		p.shows("cart-0", viewer.CPU, 45, "45:100 60:100 75:100")
		p.shows("cart-1", viewer.Memory, 45, "45:64 60:64 75:64")
		p.sum(viewer.CPU, 45, "45:200 60:200 75:200")
		p.shows("node-1", viewer.CPU, 45, "45:1500 60:1500 75:1500")
		script(p, apps)
	}
}
