package resource

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Rates that containers have, so that one across two containers, or a made-up one,
// would show: nanocores.
const leastRate, mostRate = 100 * milli, 250 * milli

// settled is how long nothing has to happen to a pod before it must have metrics, in
// seconds: two measurements, 30 s apart, and the rest of two slots.
const settled = 100

// A life is a fleet to which things happen, and a client that asks one aggregator and
// then the other.
type life struct {
	*fleet
	dice *rand.Rand
	pods map[string]*being // that run, by "namespace/name"
	next int               // of UIDs
	last map[string]seen   // by UID
	// happened is when something last happened to a node, and reset when a counter was,
	// in seconds since the beginning.
	happened, reset map[string]int64
	lost            map[string]time.Time // when an agent lost its ring, by node
	turn            int
	// zeros tells that kubelets may say that cpu is 0. Otherwise, agents may miss the
	// beginning of a pod: of what is older than a minute when its agent sees it for the
	// first time, a cpu of 0 is believed.
	zeros  bool
	log    []string
	served int
}

// A being is a pod.
type being struct {
	uid, node  string
	containers []*entity
	happened   int64
}

// seen is what a client has last seen of a pod.
type seen struct {
	at, slot int64
	usage    string
	by       int
}

func (l *life) now() int64 { return time.Now().Unix() - l.epoch }

func (l *life) rate() usage {
	return usage{leastRate + l.dice.Uint64N(mostRate-leastRate+1), l.dice.Uint64N(512) * mebi}
}

// add runs a pod of that name, under a new UID.
func (l *life) add(name, node string) {
	l.next++
	b := &being{uid: fmt.Sprint(l.next), node: node, happened: l.now()}
	names := []string{"app", "log"}[:1+l.dice.IntN(2)]
	for _, c := range names {
		every := 10 + l.dice.Int64N(21)
		e := l.nodes[node].add(name+"/"+b.uid, c, schedule{every, l.dice.Int64N(every)})
		e.uses(l.rate())
		b.containers = append(b.containers, e)
	}
	l.tell(l.nodes[node], name+"/"+b.uid, names...)
	l.pods[name] = b
}

// end has a pod's containers end, unless the kubelet goes on telling of them.
func (l *life) end(b *being, lingers bool) {
	for _, e := range b.containers {
		if !lingers {
			e.end()
		}
	}
}

// some is a name at random.
func some[V any](l *life, all map[string]V) string {
	names := slices.Sorted(maps.Keys(all))
	return names[l.dice.IntN(len(names))]
}

// happen has something happen.
func (l *life) happen() {
	name := some(l, l.pods)
	pod := l.pods[name]
	c := pod.containers[l.dice.IntN(len(pod.containers))]
	on := some(l, l.nodes)
	n := l.nodes[on]
	what := ""
	switch l.dice.IntN(16) {
	case 0:
		what = "container restarted"
		c.restart()
	case 1:
		if what = "counter reset"; !l.quiet(pod) { // it has to be less than what the agent saw last
			return
		}
		c.reset()
		l.reset[pod.node] = l.now()
	case 2, 3:
		what = "other usage"
		c.uses(l.rate())
		l.log = append(l.log, fmt.Sprintf("%d %s %s", l.now(), what, name))
		return
	case 4:
		if what = "cpu is 0, says the kubelet"; !l.zeros {
			return
		}
		c.saying(set(model.CPU, 0))
	case 5:
		what = "no cpu, says the kubelet"
		c.saying(unset(model.CPU))
	case 6:
		what = "the kubelet says it all again"
		c.saying(nil)
	case 7:
		what = "moved"
		l.end(pod, l.dice.IntN(2) == 0)
		l.add(name, on)
		l.happened[pod.node] = l.now()
	case 8:
		what = "made anew"
		l.end(pod, l.dice.IntN(2) == 0)
		l.add(name, pod.node)
	case 9:
		what = "ephemeral container"
		e := n.add(name+"/"+pod.uid, fmt.Sprint("debug-", l.now()), schedule{10 + l.dice.Int64N(21), 0})
		e.uses(l.rate())
	case 10:
		if what = "kubelet fails or not " + on; l.zeros || l.now()-l.reset[on] < settled { // nobody has seen the counter reset
			return
		}
		n.failing(map[bool]error{true: errDown}[n.fails == nil])
		l.happened[on] = l.now()
	case 11:
		if what = "agent started anew without its ring " + on; l.zeros {
			return
		}
		n.restart(false)
		l.happened[on], l.lost[on] = l.now(), time.Now()
	case 12:
		what = "agent started anew with its ring " + on
		n.restart(true)
		l.happened[on] = l.now()
	case 13:
		what = "aggregator started anew"
		l.all[l.dice.IntN(2)].restart()
		l.happened[on] = l.now()
	case 14:
		if l.zeros || l.now()-l.reset[on] < settled {
			return
		}
		if n.agent == nil {
			what = "agent started " + on
			n.start()
		} else {
			what = "agent killed " + on
			l.ask() // then both have the same of it
			l.ask()
			n.kill()
		}
		l.happened[on] = l.now()
	case 15:
		what = "node made anew " + on
		l.remake(on)
	}
	pod.happened = l.now()
	l.log = append(l.log, fmt.Sprintf("%d %s %s", l.now(), what, name))
}

// remake replaces a node by another one of its name, with other pods of their names.
func (l *life) remake(name string) {
	l.nodes[name].kill()
	l.expected.set(name, false)
	if l.dice.IntN(2) == 0 {
		l.ask() // somebody notices
	}
	n := l.join(name)
	for _, pod := range slices.Sorted(maps.Keys(l.pods)) {
		if l.pods[pod].node == name {
			l.add(pod, name)
		}
	}
	n.start()
	l.happened[name] = l.now()
}

// ask asks the aggregator whose turn it is, and compares with what was seen before.
func (l *life) ask() {
	by := l.turn % 2
	l.turn++
	list, err := l.all[by].storage["pods"].(rest.Lister).List(request.WithNamespace(l.t.Context(), ""), &internalversion.ListOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	present := map[string]bool{}
	for i := range list.(*metrics.PodMetricsList).Items {
		m := &list.(*metrics.PodMetricsList).Items[i]
		name := m.Namespace + "/" + m.Name
		pod := l.pods[name]
		present[name] = true
		l.served++
		got := seen{m.Timestamp.Unix() - l.epoch, model.Shown(time.Now(), resolution), l.pod(m), by}
		before, known := l.last[pod.uid]
		switch {
		case known && got.at < before.at:
			l.wrong(name, "%s by %d, after %s by %d", got.usage, by, before.usage, before.by)
		case !known || got.at != before.at || got.usage == before.usage:
		case !l.lost[pod.node].Before(model.Due(before.slot, resolution)):
			// The agent had told over how long a time CPU was measured, and has lost the
			// measurement before, by which it knew.
		case len(m.Containers) > 1 && got.slot != before.slot:
			// The timestamp is that of the container that was measured first. The others
			// have been measured since.
		default:
			l.wrong(name, "%s by %d, and %s by %d", got.usage, by, before.usage, before.by)
		}
		l.last[pod.uid] = got
		for _, c := range m.Containers {
			if rate := c.Usage.Cpu().ScaledValue(-9); rate < leastRate || rate > mostRate {
				l.wrong(name, "a rate that nothing has: %s", got.usage)
			}
		}
	}
	for name, pod := range l.pods {
		if l.quiet(pod) && !present[name] {
			l.wrong(name, "absent, by %d: %s", by, l.all[by].show(name))
		}
	}
}

// quiet tells whether nothing that matters has happened to a pod for a while.
func (l *life) quiet(b *being) bool {
	n := l.nodes[b.node]
	return l.now()-max(b.happened, l.happened[b.node]) > settled && n.agent != nil && n.fails == nil
}

func (l *life) wrong(pod, format string, args ...any) {
	l.t.Helper()
	l.t.Errorf("after %d s, %s: %s\n%s", l.now(), pod, fmt.Sprintf(format, args...), strings.Join(l.log[max(0, len(l.log)-12):], "\n"))
}

// Two aggregators are asked in turn while all kinds of things happen. For whoever asks
// them, timestamps of a pod, by its UID, never go back, as long as no node fails for
// only one of the two, nor loses its ring when only one has its newest slot; with the
// same timestamp all else is the same, too, but for what ask names; rates are those that
// containers had; and what has run for a while is there.
func TestTurns(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inFleet(t, []string{"node-1", "node-2", "node-3", "node-4"}, func(f *fleet) {
				l := &life{
					fleet: f, zeros: seed%2 == 0, dice: rand.New(rand.NewPCG(seed, 1)), pods: map[string]*being{},
					last: map[string]seen{}, happened: map[string]int64{}, reset: map[string]int64{}, lost: map[string]time.Time{},
				}
				for i := range 12 {
					l.add(fmt.Sprintf("shop/pod-%d", i), f.expected.Nodes()[i%4])
				}
				f.begin()
				for l.now() < 1800 {
					f.until(l.now() + 1 + l.dice.Int64N(7))
					l.ask()
					if l.dice.IntN(8) == 0 {
						l.happen()
					}
				}
				if l.served < 1000 {
					t.Errorf("only %d values were served", l.served)
				}
			})
		})
	}
}
