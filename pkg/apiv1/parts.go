package apiv1

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A part is one chunk, or what a node has of a pod and is yet to be read. There
// are a million parts in an aggregator's long answer: they are small.
type part struct {
	node   string
	chunk  chunk.Chunk // only its Pod, if later is given
	binned *Binned     // nil if the chunk's rows are slots
	later  iter.Seq2[[]byte, error]
}

func (p *part) samePod(ref *model.PodRef) bool {
	return p.chunk.Pod.Name == ref.Name && p.chunk.Pod.Namespace == ref.Namespace
}

// compare orders by namespace and name.
func (p *part) compare(ref *model.PodRef) int {
	return cmp.Or(cmp.Compare(p.chunk.Pod.Namespace, ref.Namespace), cmp.Compare(p.chunk.Pod.Name, ref.Name))
}

// later makes a part of what is to be read.
func later(n *NodeAnswer, p *PodChunks) part {
	ref := model.PodRef{Namespace: p.Namespace, Name: p.Name}
	return part{node: n.Node, chunk: chunk.Chunk{Header: chunk.Header{Pod: ref}}, later: p.Chunks}
}

// parse parses a chunk, which has to be one of what was asked for.
func parse(b []byte, pods bool) (chunk.Chunk, error) {
	c, err := chunk.Parse(b)
	if err == nil && pods == (c.Pod == model.PodRef{}) {
		err = errors.New("chunk of a pod where one of the node was asked for, or the other way round")
	}
	return c, err
}

// here gives the chunks of a node that are here to take, each valid until it
// returns.
func (m *merger) here(n *NodeAnswer, pods bool, take func(*part)) {
	for _, b := range n.Chunks {
		m.give(n.Node, b, nil, pods, take)
	}
	for i := range n.Binned {
		m.give(n.Node, n.Binned[i].Values, &n.Binned[i], pods, take)
	}
}

func (m *merger) give(node string, b []byte, binned *Binned, pods bool, take func(*part)) {
	c, err := parse(b, pods)
	if err == nil && (c.Block > m.to || c.Block+model.BlockSeconds <= m.from) {
		// Its clock is wrong, or it does not understand what it is asked.
		err = fmt.Errorf("samples of %v instead of the time that was asked for", time.Unix(c.Block, 0).UTC().Format(time.RFC3339))
	}
	if err != nil {
		m.blame(node, err)
		return
	}
	m.given = part{node: node, chunk: c, binned: binned}
	take(&m.given)
}

// list lists the parts of pods that keep lets through; those of one pod in the
// order in which they came.
func (m *merger) list(keep func(*model.PodRef) bool) {
	m.keep = keep
	for i := range m.answer.Nodes {
		n := &m.answer.Nodes[i]
		m.here(n, true, func(p *part) {
			if keep(&p.chunk.Pod) {
				m.parts = append(m.parts, *p)
			}
		})
		for j := range n.Pods {
			if p := later(n, &n.Pods[j]); keep(&p.chunk.Pod) {
				m.parts = append(m.parts, p)
			}
		}
	}
	slices.SortStableFunc(m.parts, func(a, b part) int { return a.compare(&b.chunk.Pod) })
}

// all yields all parts of pods, by namespace and name, each valid until the
// next step.
func (m *merger) all() iter.Seq[*part] {
	return func(yield func(*part) bool) {
		rest := m.parts
		if m.answer.Parts != nil {
			var p part
			for given := range m.answer.Parts {
				for len(rest) > 0 && rest[0].compare(&given.Chunk.Pod) <= 0 {
					if !yield(&rest[0]) {
						return
					}
					rest = rest[1:]
				}
				if p.node, p.chunk = given.Node, given.Chunk; m.keep(&p.chunk.Pod) && !yield(&p) {
					return
				}
			}
		}
		for i := range rest {
			if !yield(&rest[i]) {
				return
			}
		}
	}
}
