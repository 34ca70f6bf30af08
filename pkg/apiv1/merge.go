package apiv1

import (
	"cmp"
	"errors"
	"iter"
	"slices"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/series"
)

// A merger turns the nodes' chunks into series. It holds the memory of one
// pod or node, and uses it for all.
type merger struct {
	params
	answer *Answer
	// keep tells which pods are wanted; parts are what there is of them beside
	// the answer's own Parts, by namespace and name.
	keep    func(*model.PodRef) bool
	parts   []part
	given   part // scratch
	decoder chunk.Decoder
	binned  series.Binned
	entities
}

func newMerger(p params, a *Answer) *merger {
	// What counts if two nodes say something of the same is the same everywhere.
	slices.SortStableFunc(a.Nodes, func(x, y NodeAnswer) int { return cmp.Compare(x.Node, y.Node) })
	m := &merger{params: p, answer: a}
	m.entities.params = &m.params
	return m
}

// nodes yields the nodes that answered, by name, each with its own entity.
func (m *merger) nodes() iter.Seq2[string, *entity] {
	return func(yield func(string, *entity) bool) {
		add := m.add
		read := func(p *part) { m.read(p, add) }
		for i := range m.answer.Nodes {
			n := &m.answer.Nodes[i]
			m.begin()
			own := m.entity("")
			m.here(n, false, read)
			m.settle()
			if !yield(n.Node, own) {
				return
			}
		}
	}
}

// A pod is a pod's own entity and its containers'.
type pod struct {
	namespace, name string
	own             *entity
	containers      []*entity // by name
}

// pods yields the pods that have points, each valid until the next step.
// container, if not empty, is the only one to keep. A pod has been read to its
// end when it is yielded: a slow client keeps nothing open.
func (m *merger) pods(container string) iter.Seq[*pod] {
	return func(yield func(*pod) bool) {
		var p pod
		var ref model.PodRef
		node, add := "", m.add
		open := false
		for part := range m.all() {
			if open && !part.samePod(&ref) {
				if m.finish(&p, container) && !yield(&p) {
					return
				}
				open = false
			}
			if !open {
				m.begin()
				open, ref, node = true, part.chunk.Pod, part.node
				p = pod{namespace: ref.Namespace, name: ref.Name, own: m.entity(""), containers: p.containers[:0]}
			}
			if node != part.node {
				m.settle()
				node = part.node
			}
			m.read(part, add)
		}
		if open && m.finish(&p, container) {
			yield(&p)
		}
	}
}

// finish finishes a pod, and tells whether it has points.
func (m *merger) finish(p *pod, container string) bool {
	m.settle()
	points := p.own.len()
	for _, e := range m.used {
		if e.name != "" && e.len() > 0 && (container == "" || e.name == container) {
			p.containers = append(p.containers, e)
			points += e.len()
		}
	}
	if len(p.containers) > 1 {
		slices.SortFunc(p.containers, func(a, b *entity) int { return cmp.Compare(a.name, b.name) })
	}
	return points > 0 && (container == "" || len(p.containers) > 0)
}

// errEnough ends the reading of a part early.
var errEnough = errors.New("that is enough")

// read gives the rows of a part to take, for as long as there are any and it
// returns no error: slots without weights, steps with. It tells whether take
// never had enough, and blames the part's node for other errors.
func (m *merger) read(p *part, take func(*chunk.Row, *model.Values) error) bool {
	if p.later == nil {
		return m.judge(p.node, m.decode(p, take))
	}
	return m.readLater(p, take)
}

// readLater reads a part that is not here yet.
func (m *merger) readLater(p *part, take func(*chunk.Row, *model.Values) error) bool {
	for b, err := range p.later {
		var c chunk.Chunk
		if err == nil {
			c, err = parse(b, true)
		}
		if err == nil && !p.samePod(&c.Pod) {
			err = errors.New("chunk of another pod than was to be read")
		}
		if err == nil {
			err = m.decode(&part{chunk: c}, take)
		}
		if !m.judge(p.node, err) {
			return false
		}
	}
	return true
}

// decode gives the rows of one chunk to take.
func (m *merger) decode(p *part, take func(*chunk.Row, *model.Values) error) error {
	if p.binned == nil {
		m.decoder.Reset(p.chunk)
		for m.decoder.Next() {
			if err := take(m.decoder.Row(), nil); err != nil {
				return err
			}
		}
		return m.decoder.Err()
	}
	m.binned.Reset(p.chunk, p.binned.Weights)
	for m.binned.Next() {
		if err := take(m.binned.Row()); err != nil {
			return err
		}
	}
	return m.binned.Err()
}

// judge blames the node for an error, unless it is errEnough: then it returns
// false.
func (m *merger) judge(node string, err error) bool {
	if err == nil {
		return true
	}
	if errors.Is(err, errEnough) {
		return false
	}
	m.blame(node, err)
	return true
}

// blame makes a node whose answer cannot be read a missing one.
func (m *merger) blame(node string, err error) {
	if err != nil {
		m.answer.Coverage.Lose(coverage.Missing{Node: node, Outcome: coverage.Truncated, Err: err.Error()})
	}
}

// check reads everything without keeping anything, so that what is unreadable
// counts as missing before the answer's status is decided.
func (m *merger) check(pods bool) {
	verify := func(row *chunk.Row, weights *model.Values) error {
		if weights == nil {
			return nil
		}
		return m.add(row, weights)
	}
	read := func(p *part) {
		m.begin()
		m.read(p, verify)
	}
	for i := range m.answer.Nodes {
		n := &m.answer.Nodes[i]
		m.here(n, pods, read)
		for j := range n.Pods {
			p := later(n, &n.Pods[j])
			read(&p)
		}
	}
	if m.answer.Parts != nil {
		for p := range m.answer.Parts {
			read(&part{node: p.Node, chunk: p.Chunk})
		}
	}
}

// known tells whether there is anything of what was asked for.
func (m *merger) known() (here, anywhere bool) {
	for range m.all() {
		return true, true
	}
	return false, slices.ContainsFunc(m.answer.Nodes, func(n NodeAnswer) bool { return n.Known })
}

// knowsContainer tells whether any of the parts has a container of that name.
func (m *merger) knowsContainer(name string) bool {
	find := func(row *chunk.Row, _ *model.Values) error {
		if row.Name == name {
			return errEnough
		}
		return nil
	}
	for p := range m.all() {
		if !m.read(p, find) {
			return true
		}
	}
	return false
}
