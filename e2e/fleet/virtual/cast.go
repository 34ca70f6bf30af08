package virtual

import (
	"cmp"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// podLives is how many templates there are of pods with one container and
	// with two, jobLives of pods of jobs, nodeLives of nodes.
	podLives, jobLives, nodeLives = 12, 2, 8
	// lifeSlots is how long most lives last: four days of 15 s.
	lifeSlots = 4 * 24 * 240
	// jobBlocks is how long the pods of a job live, in blocks: two hours.
	jobBlocks = 8
	// wave is how many blocks there are between two moments at which pods of one
	// template are replaced, 3 h: so a template has few ages at a time, and yet
	// there are replacements in each quarter of an hour.
	wave = 12

	// systemPods is how many pods every node has, in kube-system and monitoring.
	systemPods = 3
	// teams is how many namespaces there are without a certain size.
	teams = 40
	// The namespace checkout has one pod on each of 500 nodes, search one or two
	// on each of 400. In a small fleet either takes a sixth of all places at most.
	checkoutPods            = 500
	searchPods, searchNodes = 700, 400
	mostOfFleet             = 6
	// jobsEvery is of how many pairs of nodes one has jobs.
	jobsEvery = 10
)

// A kind is how a workload's pods are named, and how they move.
type kind uint8

const (
	deployment kind = iota // a new name at each start
	stateful               // the same name; at each start two nodes swap their pods
	job                    // a new name, and a short life
)

// A workload has pods on many nodes, and at most one in a place.
type workload struct {
	namespace, name string
	kind            kind
	life            *life
	dice            uint64
}

// A part is a place for a pod on a node: there, one life follows the other.
type part struct {
	work    *workload
	replica int32 // of the workload; nobody else's
	partner int32 // of a stateful one: the replica that it swaps with, or its own
	born    int32 // in which blocks lives begin, counted from 1970, modulo their length
}

// A cast is who plays on which node.
type cast struct {
	cfg   *Config
	seed  uint64
	lives struct{ single, double, jobs, nodes []*life }
	works map[[2]string]*workload
	hosts []host   // by node
	parts [][]part // by node
}

// A host is a node as a part of its own: it boots anew at the end of its life.
type host struct {
	life *life
	born int32
}

func newCast(cfg *Config, r *fullnode.Recording) *cast {
	c := &cast{cfg: cfg, seed: mix(uint64(cfg.Seed)), works: map[[2]string]*workload{}, parts: make([][]part, cfg.Nodes)}
	long := c.longLife()
	for i := range podLives {
		c.lives.single = append(c.lives.single, c.podLife(r, i, 1, long))
		c.lives.double = append(c.lives.double, c.podLife(r, podLives+i, 2, long))
	}
	for i := range jobLives {
		c.lives.jobs = append(c.lives.jobs, c.podLife(r, 2*podLives+i, 1, jobBlocks))
	}
	for i := range nodeLives {
		c.lives.nodes = append(c.lives.nodes, c.newLife(2*podLives+jobLives+i, long, func(seed uint64, start int64) *fullnode.Track {
			return r.NodeTrack(seed, start)
		}))
	}
	for i := range c.parts {
		dice := mix(c.seed ^ hash(nodeName(i)))
		l := c.lives.nodes[dice%nodeLives]
		c.hosts = append(c.hosts, host{l, l.birth(dice / nodeLives)})
		c.parts[i] = c.fill(i)
	}
	return c
}

// longLife is how long most lives last, in blocks: a multiple of the wave.
func (c *cast) longLife() int {
	slots := int(model.BlockSeconds * time.Second / c.cfg.Resolution)
	return max(cmp.Or(c.cfg.life, lifeSlots)/slots/wave, 2) * wave
}

func (c *cast) newLife(i, blocks int, begin func(seed uint64, start int64) *fullnode.Track) *life {
	seed := mix(c.seed + uint64(i))
	l := &life{resolution: int64(c.cfg.Resolution / time.Second), blocks: blocks}
	l.first = int(seed % uint64(l.slots()))
	l.phase = int(seed / 1000 % wave)
	l.begin = func(start int64) *fullnode.Track { return begin(seed, start) }
	return l
}

func (c *cast) podLife(r *fullnode.Recording, i, containers, blocks int) *life {
	l := c.newLife(i, blocks, func(seed uint64, start int64) *fullnode.Track {
		return r.PodTrack(i%r.Pods(), containers, seed, start)
	})
	l.containers = containers
	if i%8 == 0 {
		// Twice a day, and not at the same place in each block.
		l.restarts = lifeSlots/8 + 7
	}
	return l
}

// all are all templates.
func (c *cast) all() []*life {
	var all []*life
	for _, l := range [][]*life{c.lives.single, c.lives.double, c.lives.jobs, c.lives.nodes} {
		all = append(all, l...)
	}
	return all
}

// play makes all templates.
func (c *cast) play() error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, l := range c.all() {
		g.Go(l.play)
	}
	return g.Wait()
}

// fill gives a node its parts. Those at odd places have two containers, so that
// 30 pods have 45.
func (c *cast) fill(node int) []part {
	parts := make([]part, c.cfg.Pods)
	if len(c.cfg.Deployments) > 0 {
		for j := range parts {
			parts[j] = c.deployed(node, j)
		}
		return parts
	}
	for j, w := range []*workload{
		c.workload("kube-system", "kube-proxy", deployment, c.lives.single),
		c.workload("kube-system", "cni", deployment, c.lives.double),
		c.workload("monitoring", "node-exporter", deployment, c.lives.single),
	} {
		if j < len(parts) {
			parts[j] = c.part(w, node, node)
		}
	}
	place := (len(parts) - 1) &^ 1 // the last with one container
	take := func(w *workload, from, to int) {
		for replica := from; replica < to && place >= systemPods; replica++ {
			parts[place] = c.part(w, replica, replica)
			place -= 2
		}
	}
	most := c.cfg.Nodes * c.cfg.Pods / mostOfFleet
	from, to := share(min(checkoutPods, most), c.cfg.Nodes, node)
	take(c.workload("checkout", "cart-5dc9c6f44c", deployment, c.lives.single), from, to)
	nodes := min(searchNodes, c.cfg.Nodes)
	if i, next := share(nodes, c.cfg.Nodes, node); i < next {
		from, to = share(min(searchPods, most), nodes, i)
		take(c.workload("search", "index-7c6b8d9f5", deployment, c.lives.single), from, to)
	}
	for j := systemPods; j < len(parts); j++ {
		if parts[j].work == nil {
			parts[j] = c.team(node, j)
		}
	}
	return parts
}

// deployed is a part of one of the deployments that are asked for. Every other one
// has pods with two containers.
func (c *cast) deployed(node, place int) part {
	all := c.cfg.Deployments
	i := c.deployment(node, place)
	lives := c.lives.single
	if i%2 == 1 {
		lives = c.lives.double
	}
	replica := (node*c.cfg.Pods + place) / len(all)
	return c.part(c.workload(all[i].Namespace, all[i].Name, deployment, lives), replica, replica)
}

// deployment is which of the deployments has a pod at a node's place.
func (c *cast) deployment(node, place int) int {
	return (node*c.cfg.Pods + place) % len(c.cfg.Deployments)
}

// share divides total things among n: the i-th gets those from from to before to.
func share(total, n, i int) (from, to int) { return i * total / n, (i + 1) * total / n }

// team is a part in one of the namespaces of no certain size. Both nodes of a
// pair have the same, so that stateful ones can swap.
func (c *cast) team(node, place int) part {
	pair := node / 2
	namespace := fmt.Sprintf("team-%02d", (pair*7+place*11)%teams)
	lives := c.lives.single
	if place%2 == 1 {
		lives = c.lives.double
	}
	words := []string{"api", "web", "orders", "mailer", "billing", "reports", "auth", "gateway", "feed", "images", "queue", "sync", "audit"}
	word := words[place%len(words)]
	switch {
	case place%8 == 5:
		partner := node ^ 1
		if partner >= c.cfg.Nodes {
			partner = node
		}
		return c.part(c.workload(namespace, fmt.Sprintf("%s-db%d", word, place), stateful, lives), node, partner)
	case place%16 == 6 && pair%jobsEvery == 0:
		return c.part(c.workload(namespace, fmt.Sprintf("%s-nightly-%d", word, place), job, c.lives.jobs), node, node)
	}
	name := fmt.Sprintf("%s-%09x", word, mix(c.seed^hash(namespace)+uint64(place))>>28)
	return c.part(c.workload(namespace, name, deployment, lives), node, node)
}

// workload is the one of that name; its pods live one of the lives.
func (c *cast) workload(namespace, name string, k kind, lives []*life) *workload {
	key := [2]string{namespace, name}
	w := c.works[key]
	if w == nil {
		dice := mix(c.seed ^ hash(namespace+"/"+name))
		w = &workload{namespace: namespace, name: name, kind: k, life: lives[dice%uint64(len(lives))], dice: dice}
		c.works[key] = w
	}
	return w
}

func (c *cast) part(w *workload, replica, partner int) part {
	return part{
		work: w, replica: int32(replica), partner: int32(partner),
		born: w.life.birth(mix(w.dice + uint64(min(replica, partner)))),
	}
}

// mix is SplitMix64 (Steele, Lea, Flood 2014): every bit of x changes half of
// the result's bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
