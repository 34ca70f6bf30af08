package apiv1

import (
	"cmp"
	"errors"
	"iter"
	"slices"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A merger turns the nodes' chunks into series. It holds the memory of one
// entity, and uses it for all.
type merger struct {
	params
	answer  *Answer
	decoder chunk.Decoder
	byName  map[string]*series
	used    []*series
	free    []*series
}

func newMerger(p params, a *Answer) *merger {
	return &merger{params: p, answer: a, byName: map[string]*series{}}
}

// nodes yields the nodes that answered, by name, each with its series.
func (m *merger) nodes() iter.Seq2[string, *series] {
	slices.SortFunc(m.answer.Nodes, func(a, b NodeAnswer) int { return cmp.Compare(a.Node, b.Node) })
	return func(yield func(string, *series) bool) {
		add := m.add
		for _, n := range m.answer.Nodes {
			m.begin()
			own := m.series("")
			for _, b := range n.Chunks {
				c, err := parse(b, false)
				if err == nil {
					_, err = m.decode(c, add)
				}
				m.blame(n.Node, err)
			}
			own.finish()
			if !yield(n.Node, own) {
				return
			}
		}
	}
}

// parse parses a chunk, which has to be one of what was asked for.
func parse(b []byte, pods bool) (chunk.Chunk, error) {
	c, err := chunk.Parse(b)
	if err == nil && pods == (c.Pod == model.PodRef{}) {
		err = errors.New("chunk of a pod where one of the node was asked for, or the other way round")
	}
	return c, err
}

// A podPart is one chunk of a pod, or what a node has of it and is yet to be
// read. There are a million parts in an aggregator's long answer: they are small.
type podPart struct {
	node  *NodeAnswer
	chunk chunk.Chunk // only its Pod, if later is given
	later iter.Seq2[[]byte, error]
}

// later makes a part of what is to be read.
func later(n *NodeAnswer, p *PodChunks) podPart {
	ref := model.PodRef{Namespace: p.Namespace, Name: p.Name}
	return podPart{node: n, chunk: chunk.Chunk{Header: chunk.Header{Pod: ref}}, later: p.Chunks}
}

func (p *podPart) samePod(ref model.PodRef) bool {
	return p.chunk.Pod.Namespace == ref.Namespace && p.chunk.Pod.Name == ref.Name
}

// A pod is a pod's series: its own and its containers'.
type pod struct {
	namespace, name string
	own             *series
	containers      []*series // by name
}

// parts lists what there is of all pods that keep lets through, by namespace
// and name; parts of one pod in the order in which they came.
func (m *merger) parts(keep func(model.PodRef) bool) []podPart {
	var parts []podPart
	for i := range m.answer.Nodes {
		n := &m.answer.Nodes[i]
		for _, b := range n.Chunks {
			c, err := parse(b, true)
			m.blame(n.Node, err)
			if err == nil && keep(c.Pod) {
				parts = append(parts, podPart{node: n, chunk: c})
			}
		}
		for j := range n.Pods {
			if p := later(n, &n.Pods[j]); keep(p.chunk.Pod) {
				parts = append(parts, p)
			}
		}
	}
	slices.SortStableFunc(parts, func(a, b podPart) int {
		return cmp.Or(cmp.Compare(a.chunk.Pod.Namespace, b.chunk.Pod.Namespace), cmp.Compare(a.chunk.Pod.Name, b.chunk.Pod.Name))
	})
	return parts
}

// pods yields the pods of the parts that have points, each valid until the
// next step. container, if not empty, is the only one to keep. A pod has been
// read to its end when it is yielded: a slow client keeps nothing open.
func (m *merger) pods(parts []podPart, container string) iter.Seq[*pod] {
	return func(yield func(*pod) bool) {
		var p pod
		add := m.add
		for len(parts) > 0 {
			ref := parts[0].chunk.Pod
			m.begin()
			for len(parts) > 0 && parts[0].samePod(ref) {
				m.read(&parts[0], add)
				parts = parts[1:]
			}
			p = pod{namespace: ref.Namespace, name: ref.Name, own: m.series(""), containers: p.containers[:0]}
			points := len(p.own.points)
			for _, s := range m.used {
				s.finish()
				if s.name != "" && len(s.points) > 0 && (container == "" || s.name == container) {
					p.containers = append(p.containers, s)
					points += len(s.points)
				}
			}
			if points == 0 || (container != "" && len(p.containers) == 0) {
				continue
			}
			slices.SortFunc(p.containers, func(a, b *series) int { return cmp.Compare(a.name, b.name) })
			if !yield(&p) {
				return
			}
		}
	}
}

// begin makes room for the next entity.
func (m *merger) begin() {
	m.free = append(m.free, m.used...)
	m.used = m.used[:0]
	clear(m.byName)
}

// series returns the series of that name, a new one if there is none.
func (m *merger) series(name string) *series {
	s := m.byName[name]
	if s != nil {
		return s
	}
	if n := len(m.free); n > 0 {
		s, m.free = m.free[n-1], m.free[:n-1]
	} else {
		s = new(series)
	}
	s.reset(name)
	m.byName[name] = s
	m.used = append(m.used, s)
	return s
}

// add adds a row that lies in the window to its series.
func (m *merger) add(row *chunk.Row) bool {
	// Also without points in the window a name is known.
	s := m.series(row.Name)
	if row.Slot >= m.from && row.Slot <= m.to {
		s.add(row.Slot, row.Start, &row.Values, m.metrics)
	}
	return true
}

// ignore takes rows of which only matters that they can be read.
func ignore(*chunk.Row) bool { return true }

// decode gives the chunk's rows to take, as long as it returns true, and tells
// whether it did to the end.
func (m *merger) decode(c chunk.Chunk, take func(*chunk.Row) bool) (bool, error) {
	m.decoder.Reset(c)
	for m.decoder.Next() {
		if !take(m.decoder.Row()) {
			return false, nil
		}
	}
	return true, m.decoder.Err()
}

// read decodes all chunks of a part, as decode does, and blames its node for
// what cannot be read.
func (m *merger) read(p *podPart, take func(*chunk.Row) bool) bool {
	if p.later == nil {
		more, err := m.decode(p.chunk, take)
		m.blame(p.node.Node, err)
		return more
	}
	more := true
	for b, err := range p.later {
		var c chunk.Chunk
		if err == nil {
			c, err = parse(b, true)
		}
		if err == nil && !p.samePod(c.Pod) {
			err = errors.New("chunk of another pod than was to be read")
		}
		if err == nil {
			more, err = m.decode(c, take)
		}
		m.blame(p.node.Node, err)
		if !more {
			break
		}
	}
	return more
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
	for i := range m.answer.Nodes {
		n := &m.answer.Nodes[i]
		for _, b := range n.Chunks {
			c, err := parse(b, pods)
			if err == nil {
				_, err = m.decode(c, ignore)
			}
			m.blame(n.Node, err)
		}
		for j := range n.Pods {
			p := later(n, &n.Pods[j])
			m.read(&p, ignore)
		}
	}
}

// knowsContainer tells whether any of the parts has a container of that name.
func (m *merger) knowsContainer(parts []podPart, name string) bool {
	other := func(row *chunk.Row) bool { return row.Name != name }
	return slices.ContainsFunc(parts, func(p podPart) bool { return !m.read(&p, other) })
}
