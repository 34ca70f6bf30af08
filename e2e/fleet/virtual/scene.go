package virtual

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// An actor is a pod, or the node, during one block.
type actor struct {
	ref  model.PodRef // zero: the node
	life *life
	age  int // which block of its life it is
}

// birth draws in which blocks lives begin, modulo their length.
func (l *life) birth(dice uint64) int32 {
	if l.blocks%wave != 0 {
		return int32(dice % uint64(l.blocks))
	}
	return int32(dice%uint64(l.blocks/wave)*wave) + int32(l.phase)
}

// at tells which life goes on in a block, counted from 1970, and how old it is.
func (l *life) at(born int32, block int64) (number int64, age int) {
	since := block - int64(born)
	age = int(since % int64(l.blocks))
	if age < 0 {
		age += l.blocks
	}
	return (since - int64(age)) / int64(l.blocks), age
}

// during calls f with every life that touches a block, by its number and age:
// one, or two where one follows the other.
func (l *life) during(born int32, block int64, f func(number int64, age int)) {
	number, age := l.at(born, block)
	if age == 0 && l.first > 0 {
		f(number-1, l.blocks)
	}
	f(number, age)
}

// host is the node itself in a block, which begins at start, in Unix seconds.
func (c *cast) host(node int, start int64) []actor {
	h := &c.hosts[node]
	var actors []actor
	h.life.during(h.born, start/model.BlockSeconds, func(_ int64, age int) {
		actors = append(actors, actor{life: h.life, age: age})
	})
	return actors
}

// scene is who is on a node during a block, which begins at start, of the pods
// that the query asks for, by namespace, name and UID.
func (c *cast) scene(node int, start int64, q *model.Query) []actor {
	var actors []actor
	for i := range c.parts[node] {
		p := &c.parts[node][i]
		if !p.work.may(q) {
			continue
		}
		p.work.life.during(p.born, start/model.BlockSeconds, func(number int64, age int) {
			if ref := p.ref(number); wanted(q, ref) {
				actors = append(actors, actor{ref, p.work.life, age})
			}
		})
	}
	slices.SortFunc(actors, func(a, b actor) int { return a.ref.Compare(b.ref) })
	return actors
}

// pods are those of which there is something from a block's start to a slot, by
// namespace, name and UID.
func (c *cast) pods(node int, first, last int64, q *model.Query) []model.PodRef {
	var refs []model.PodRef
	for i := range c.parts[node] {
		p := &c.parts[node][i]
		if !p.work.may(q) {
			continue
		}
		l := p.work.life
		from, age := l.at(p.born, first/model.BlockSeconds)
		if age == 0 && l.first > 0 {
			from--
		}
		block := model.BlockOf(last)
		to, age := l.at(p.born, block/model.BlockSeconds)
		if age == 0 && int64(l.first)*l.resolution > last-block {
			to-- // it has not begun
		}
		for number := from; number <= to; number++ {
			if ref := p.ref(number); wanted(q, ref) {
				refs = append(refs, ref)
			}
		}
	}
	slices.SortFunc(refs, model.PodRef.Compare)
	return refs
}

// may tells whether one of the workload's pods may be asked for.
func (w *workload) may(q *model.Query) bool {
	return (q.Namespace == "" || q.Namespace == w.namespace) && (q.Pod == "" || strings.HasPrefix(q.Pod, w.name))
}

func wanted(q *model.Query, ref model.PodRef) bool {
	return (q.Namespace == "" || q.Namespace == ref.Namespace) && (q.Pod == "" || q.Pod == ref.Name)
}

const (
	// alphabet is the one of k8s.io/apimachinery/pkg/util/rand: no vowels, hence
	// no words, and none of 0, 1 and 3.
	alphabet = "bcdfghjklmnpqrstvwxz2456789"
	suffixes = 27 * 27 * 27 * 27 * 27
	// scatter has no factor in common with suffixes, so that what is different
	// stays so when multiplied with it.
	scatter = 8765431
	// names is how many lives of a part have different names, and replicas how
	// many replicas of a workload.
	names, replicas = 512, 1 << 14
)

// The names of the most nodes are different.
const _ = uint(suffixes - names*replicas)
const _ = uint(replicas - MaxNodes)

// ref names the pod of a life.
func (p *part) ref(number int64) model.PodRef {
	replica := p.replica
	if number&1 == 1 {
		replica = p.partner
	}
	w := p.work
	key := uint64(number&(names-1))<<14 | uint64(replica)
	name := make([]byte, 0, len(w.name)+7)
	name = append(append(name, w.name...), '-')
	if w.kind == stateful {
		name = strconv.AppendInt(name, int64(replica), 10)
	} else {
		x := (key*scatter + w.dice%suffixes) % suffixes
		for range 5 {
			name = append(name, alphabet[x%27])
			x /= 27
		}
	}
	return model.PodRef{Namespace: w.namespace, Name: string(name), UID: uid(mix(w.dice^mix(uint64(number))) ^ mix(uint64(replica)))}
}

// uid is a version 4 UUID, the form of a Kubernetes UID.
func uid(dice uint64) string {
	var b [16]byte
	for i, x := range [2]uint64{dice, mix(dice)} {
		for j := range 8 {
			b[8*i+j] = byte(x >> (8 * j))
		}
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	text := make([]byte, 0, 36)
	for i, end := range [5]int{4, 6, 8, 10, 16} {
		begin := [5]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, b[begin:end])
	}
	return string(text)
}
