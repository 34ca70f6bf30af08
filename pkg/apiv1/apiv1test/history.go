// Package apiv1test tests implementations of [apiv1.Source], as testing/fstest
// does those of io/fs.FS.
package apiv1test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// Node is the only node behind a source under test.
	Node = "node-1"
	// begin is the start of the history's first block.
	begin = 1795230000
	// resolution is the distance of its slots.
	resolution = 15 * time.Second
)

// A History is what the node behind a source under test has.
type History struct {
	// Err, if not nil, is why a part of it cannot be read. What can be read
	// is here nevertheless, and comes before the error.
	Err    error
	chunks [][]byte // by block, within a block by PodRef
}

// Chunks are the coded chunks that answer a query, as an agent sends them.
func (h *History) Chunks(q model.Query) [][]byte {
	var chunks [][]byte
	for _, b := range h.chunks {
		c, err := chunk.Parse(b)
		if err == nil && matches(&q, &c.Header) && c.Block <= q.To && c.Block+model.BlockSeconds > q.From {
			chunks = append(chunks, b)
		}
	}
	return chunks
}

func matches(q *model.Query, h *chunk.Header) bool {
	return q.Pods == (h.Pod != model.PodRef{}) &&
		(q.Namespace == "" || q.Namespace == h.Pod.Namespace) && (q.Pod == "" || q.Pod == h.Pod.Name)
}

// Pods are the pods of which there are chunks that answer a query, by
// namespace, name and UID.
func (h *History) Pods(q model.Query) []model.PodRef {
	var pods []model.PodRef
	for _, b := range h.Chunks(q) {
		c, _ := chunk.Parse(b) // Chunks has done it
		pods = append(pods, c.Pod)
	}
	slices.SortFunc(pods, model.PodRef.Compare)
	return slices.Compact(pods)
}

// Knows tells whether there are chunks of a pod or, if pod is empty, of the
// namespace, at any time.
func (h *History) Knows(namespace, pod string) bool {
	return len(h.Chunks(model.Query{Pods: true, Namespace: namespace, Pod: pod, From: 0, To: 1 << 40})) > 0
}

// newHistory makes three blocks of a node. Its pods: one for all of the time,
// one that was there in the first block only, one that was replaced within the
// second, and one with the same name in another namespace.
func newHistory(t *testing.T) *History {
	const slots = model.BlockSeconds / 15
	h := new(History)
	for block := range 3 {
		h.add(t, block, model.PodRef{}, 0, slots, "")
		if block == 0 {
			h.add(t, block, model.PodRef{Namespace: "batch", Name: "job", UID: "uid-1"}, 2, 9, "", "main")
		}
		h.add(t, block, model.PodRef{Namespace: "batch", Name: "web", UID: "uid-2"}, 0, slots, "", "envoy")
		h.add(t, block, model.PodRef{Namespace: "shop", Name: "cart", UID: "uid-3"}, 0, slots, "", "cart", "envoy")
		// The younger UID sorts before the older.
		if block > 0 {
			h.add(t, block, model.PodRef{Namespace: "shop", Name: "web", UID: "uid-4"}, (2-block)*slots/2, slots, "", "web")
		}
		if block < 2 {
			h.add(t, block, model.PodRef{Namespace: "shop", Name: "web", UID: "uid-5"}, 0, (2-block)*slots/2+2*block, "", "web")
		}
	}
	return h
}

// add adds the chunk of a pod, or of the node, over the slots from up to but
// not including to of a block.
func (h *History) add(t *testing.T, block int, pod model.PodRef, from, to int, names ...string) {
	t.Helper()
	b := chunk.NewBuilder(chunk.Header{Pod: pod, Block: begin + int64(block)*model.BlockSeconds, Resolution: resolution})
	for i := from; i < to; i++ {
		slot := begin + int64(block)*model.BlockSeconds + int64(i)*15
		samples := make([]model.Sample, len(names))
		for j, name := range names {
			samples[j].Name = name
			samples[j].Start = begin - int64(len(h.chunks)) // another one for each chunk
			samples[j].Set(model.CPU, uint64(slot%7_200*1_000_000+int64(j)))
			samples[j].Set(model.WorkingSet, uint64(len(h.chunks)+1)*4096)
			if name == "envoy" {
				samples[j].Start += int64(i/20) * 300               // it restarts
				samples[j].Set(model.RSS, math.MaxUint64-uint64(i)) // sums of it have more than 64 bits
			}
			if i%4 == 0 {
				samples[j].Set(model.NetworkRx, uint64(slot%7_200*1_000+int64(j)))
			}
		}
		if err := b.Append(slot, samples); err != nil {
			t.Fatal(err)
		}
	}
	h.chunks = append(h.chunks, b.AppendChunk(nil))
}

// damage cuts the last chunk of a pod.
func (h *History) damage(namespace, name string) {
	for i, b := range slices.Backward(h.chunks) {
		if c, _ := chunk.Parse(b); c.Pod.Namespace == namespace && c.Pod.Name == name {
			h.chunks[i] = b[:len(b)-3]
			return
		}
	}
}

// reference is the plainest source: its answers hold everything.
type reference struct{ *History }

// Ask implements [apiv1.Source].
func (r reference) Ask(_ context.Context, q apiv1.Question) (apiv1.Answer, error) {
	if q.Node != "" && q.Node != Node {
		return apiv1.Answer{}, apiv1.Errorf(apiv1.NotFound, "no node %q", q.Node)
	}
	a := apiv1.NodeAnswer{Node: Node, Chunks: r.Chunks(q.Query)}
	a.Known = q.Namespace != "" && r.Knows(q.Namespace, q.Pod)
	cov := coverage.Coverage{Expected: 1, Asked: 1, Answered: 1}
	if r.Err != nil {
		cov.Lose(coverage.Missing{Node: Node, Outcome: coverage.Truncated, Err: r.Err.Error()})
	}
	return apiv1.Answer{Nodes: []apiv1.NodeAnswer{a}, Coverage: cov}, nil
}

var errDisk = errors.New("bad disk")
