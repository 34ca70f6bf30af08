package standin

import (
	"fmt"
	"strings"
)

// An actor plays one of a node's pods: which recorded pod it follows, and what
// happens to it. It holds no state; a life is found from the turn.
type actor struct {
	dice  dice
	trace *podTrace

	replaced  cycle // the pod goes, another takes its place at once
	restarts  cycle // of one container
	restarted int   // which container
	missing   cycle // the pod is not in the answers …
	missed    int64 // … for so many turns; 0 = never

	stateful   bool // keeps its name when replaced, not its UID
	noOwnUsage bool // has no cpu, memory, io and swap beside its containers'
	network    link
	psi        bool // also of its containers
	permille   uint64
}

// A link is how a pod is connected.
type link uint8

const (
	hostNetwork  link = iota // no network of its own, as recorded
	podNetwork               // eth0 is the default interface
	bareNetworks             // interfaces, none of which is the default one
)

// Periods of the schedule in turns. The frequent ones are at most 72, so that
// 80 slots (20 min) see each kind of event; others come about once in 12 h to
// 10 days of 15 s slots, as on a calm node.
const (
	oftenLow, oftenHigh = 44, 72
	rareLow, rareHigh   = 3_000, 60_000
)

// newActor casts the node's p-th pod. The first eight have fixed parts, so that
// even a small node shows every kind of event; the others play by chance.
func newActor(node dice, t *Trace, p int) *actor {
	d := node.of(int64(p)).of(1)
	a := &actor{
		dice:      d,
		trace:     &t.pods[p%len(t.pods)],
		replaced:  newCycle(d.of(2), rareLow, rareHigh),
		restarts:  newCycle(d.of(3), rareLow, rareHigh),
		missing:   newCycle(d.of(4), oftenLow, oftenHigh),
		permille:  uint64(d.of(5).between(900, 1100)),
		psi:       d.of(6).oneIn(4),
		network:   podNetwork,
		restarted: int(d.of(7).between(0, int64(len(t.pods[p%len(t.pods)].containers))-1)),
	}
	if d.of(8).oneIn(5) {
		a.network = hostNetwork
	}
	part := p
	if p >= 8 {
		part = int(d.of(9).between(0, 23))
	}
	switch part {
	case 1:
		a.stateful = true
		a.replaced = newCycle(d.of(10), oftenLow, oftenHigh)
	case 2:
		a.restarts = newCycle(d.of(10), oftenLow, oftenHigh)
		a.network, a.psi = podNetwork, true
	case 3:
		a.missed = d.of(10).between(2, 4)
	case 4:
		a.replaced = newCycle(d.of(10), oftenLow, oftenHigh)
	case 5:
		a.noOwnUsage = p < 8 // one pod a node
	case 6:
		a.network = bareNetworks
	}
	return a
}

// A life is one pod from its creation to its end.
type life struct {
	born  int64 // the first turn that shows it
	start int64 // Unix seconds, in the slot before
	dice  dice
}

// life is the one that goes on in a turn. A pod starts one second into the slot
// before its first answer, so that all that this answer measured is its own.
func (a *actor) life(r *reel, turn int64) life {
	born := max(a.replaced.last(turn), r.boot(turn))
	return life{born: born, start: r.slot(born-1) + 1, dice: a.dice.of(11).of(born)}
}

// present tells whether the kubelet shows the pod in a turn.
func (a *actor) present(turn int64) bool { return turn-a.missing.last(turn) >= a.missed }

// name is the pod's name in a life.
func (a *actor) name(l life) string {
	if !a.stateful {
		return a.trace.workload + "-" + l.dice.of(12).suffix()
	}
	// A stateful set has one pod of a name in the whole cluster, hence a set of
	// its own for each: "leaky-x7f2k-0".
	set, _, _ := strings.Cut(a.trace.workload, "-")
	return fmt.Sprintf("%s-%s-0", set, a.dice.of(12).suffix())
}

// container is the life of the c-th container in a turn of its pod's life l.
func (a *actor) container(r *reel, turn int64, l life, c int) (born, start int64) {
	if c == a.restarted {
		if again := a.restarts.last(turn); again > l.born {
			return again, r.slot(again) - (r.resolution-1)/3
		}
	}
	// Half the recorded delay, 0 to 8 s: it must fit in 14 s, the time from the
	// pod's start to its first answer, or in proportion.
	const longest = 15
	delay := min(a.trace.containers[c].delay, 2*longest) / 2
	return l.born, l.start + delay*(r.resolution-1)/longest
}
