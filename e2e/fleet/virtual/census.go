package virtual

import (
	"errors"
	"iter"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Census says which pods there are on which nodes of a fleet of deployments, as an
// API server would. It follows from the fleet's configuration alone, so it may be in
// another process than the fleet. It is safe for concurrent use.
type Census struct{ cast *cast }

// A Resident is a pod on a node.
type Resident struct {
	model.PodRef
	Node string
	// Deployment is an index of Config.Deployments.
	Deployment int
	// Containers are the names of its containers, by name. The slice is shared.
	Containers []string
	// Start is when it began, in Unix seconds; it is in its node's scrape of the
	// slot that follows.
	Start int64
}

// NewCensus takes of the configuration what decides who is where: Nodes, Pods,
// Resolution, Seed, and Deployments, of which there has to be one.
func NewCensus(cfg Config) (*Census, error) {
	cfg.History = model.BlockSeconds * time.Second // what is kept does not matter
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(cfg.Deployments) == 0 {
		return nil, errors.New("a census is of deployments, and there are none")
	}
	recording, err := fullnode.Unpack(standin.Recording())
	if err != nil {
		return nil, err
	}
	c := newCast(&cfg, recording)
	for _, l := range c.all() {
		l.learnNames()
	}
	return &Census{c}, nil
}

// At yields the pods of a slot, in Unix seconds, by node.
func (c *Census) At(slot int64) iter.Seq[Resident] {
	return func(yield func(Resident) bool) {
		for node, place := range c.places() {
			if !yield(c.resident(node, place, slot)) {
				return
			}
		}
	}
}

// Replaced yields the pods of one slot that another one has replaced in a later
// slot, and those.
func (c *Census) Replaced(from, to int64) iter.Seq2[Resident, Resident] {
	return func(yield func(gone, came Resident) bool) {
		for node, place := range c.places() {
			p := &c.cast.parts[node][place]
			before, _ := p.alive(from)
			after, _ := p.alive(to)
			if before != after && !yield(c.resident(node, place, from), c.resident(node, place, to)) {
				return
			}
		}
	}
}

// places yields all places for pods, by node.
func (c *Census) places() iter.Seq2[int, int] {
	return func(yield func(node, place int) bool) {
		for node := range c.cast.parts {
			for place := range c.cast.parts[node] {
				if !yield(node, place) {
					return
				}
			}
		}
	}
}

func (c *Census) resident(node, place int, slot int64) Resident {
	p := &c.cast.parts[node][place]
	number, start := p.alive(slot)
	return Resident{
		PodRef: p.ref(number), Node: nodeName(node), Deployment: c.cast.deployment(node, place),
		Containers: p.work.life.names, Start: start,
	}
}

// alive is which life goes on in a slot, and when it began, in Unix seconds.
func (p *part) alive(slot int64) (number, start int64) {
	l := p.work.life
	block := model.BlockOf(slot)
	number, age := l.at(p.born, block/model.BlockSeconds)
	if age == 0 && !l.has(age, int((slot-block)/l.resolution)) {
		number, age = number-1, l.blocks
	}
	return number, block - int64(age)*model.BlockSeconds + l.start()
}

// learnNames finds the names of the life's containers.
func (l *life) learnNames() {
	l.names = nil
	for _, s := range l.begin(epoch).Next(epoch + l.resolution)[1:] { // the pod itself comes first
		l.names = append(l.names, s.Name)
	}
}
