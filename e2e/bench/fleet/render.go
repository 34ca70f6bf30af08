package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/limit"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// renderNodes is how many nodes' 15 min of all containers are 100,000 points.
const renderNodes = 37

type renderRequest struct {
	Resolution time.Duration
	Recordings []string // bodies of agents' answers
	Paths      []string // of the API, that they answer
}

// A rendered is one answer.
type rendered struct {
	CPU    time.Duration
	Points int
	Allocs float64
	Bytes  int64
}

// render measures what rendering costs, from what agents send to JSON.
func (b *bench) render(ctx context.Context) error {
	f, err := b.theFleet(ctx)
	if err != nil {
		return err
	}
	some := *f
	some.Nodes = f.Nodes[:min(renderNodes, len(f.Nodes))]
	// All of a block that is over, and half of it: as many chunks and series, but
	// half the points.
	block := model.BlockOf(time.Now().Unix()) - model.BlockSeconds
	q := renderRequest{Resolution: b.cfg.Resolution}
	var questions []string
	for i, seconds := range []int64{model.BlockSeconds, model.BlockSeconds / 2} {
		q.Paths = append(q.Paths, fmt.Sprintf("/api/v1/pod?start=%d&end=%d", block, block+seconds-b.cfg.seconds()))
		q.Recordings = append(q.Recordings, b.path(fmt.Sprintf("render-%d", i)))
		question, err := target(q.Paths[i], b.cfg.Resolution)
		if err != nil {
			return err
		}
		questions = append(questions, question)
	}
	bodies, err := record(ctx, &some, questions)
	if err != nil {
		return err
	}
	for i, path := range q.Recordings {
		if err := limit.WriteRecording(path, bodies[i]); err != nil {
			return err
		}
	}
	var r []rendered
	if _, err := b.startJob(ctx, "render", q, &r); err != nil {
		return err
	}
	whole, half := r[0], r[1]
	b.Set("render/cpu", millis(whole.CPU)*100_000/float64(whole.Points), "%d points of all containers of %d nodes over 15 min, of cpu and memory, %s MB; decoding and merging chunks included",
		whole.Points, len(some.Nodes), report.Number(float64(whole.Bytes)/mega))
	b.Set("render/allocations", max(0, whole.Allocs-half.Allocs)/float64(whole.Points-half.Points),
		"what %d points more take in the same series; %.0f allocations for all of them, names and series included", whole.Points-half.Points, whole.Allocs)
	return nil
}

// renderFor is how much CPU time rendering is repeated for.
const renderFor = time.Second

// renderJob is the job "render".
func renderJob(ctx context.Context, p *child.Parent) error {
	var q renderRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	var all []rendered
	for i, path := range q.Paths {
		bodies, err := limit.ReadRecording(q.Recordings[i])
		if err != nil {
			return err
		}
		r, err := renderOften(ctx, path, q.Resolution, bodies)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	return p.Result(all)
}

func renderOften(ctx context.Context, path string, resolution time.Duration, bodies [][]byte) (r rendered, err error) {
	api := apiv1.New(apiv1.Config{Resolution: resolution, Timeout: nodeTimeout}, recorded(bodies))
	req := httptest.NewRequest(http.MethodGet, path, nil).WithContext(ctx)
	var whole bytes.Buffer
	api.ServeHTTP(&discard{to: &whole}, req)
	r.Points, r.Bytes = bytes.Count(whole.Bytes(), []byte(`"timestamp":`)), int64(whole.Len())
	if r.Points == 0 {
		return r, fmt.Errorf("%s: no points in %.300s", path, whole.Bytes())
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, n := meter.CPU(), 0
	for meter.CPU()-began < renderFor {
		api.ServeHTTP(&discard{to: io.Discard}, req)
		n++
	}
	r.CPU = (meter.CPU() - began) / time.Duration(n)
	runtime.ReadMemStats(&after)
	r.Allocs = float64(after.Mallocs-before.Mallocs) / float64(n)
	return r, nil
}

// recorded is a source that answers with bodies of agents.
type recorded [][]byte

// Ask implements [apiv1.Source].
func (r recorded) Ask(context.Context, apiv1.Question) (apiv1.Answer, error) {
	a := apiv1.Answer{Coverage: coverage.Coverage{Expected: len(r), Asked: len(r), Answered: len(r)}}
	for i, body := range r {
		n := apiv1.NodeAnswer{Node: fmt.Sprintf("node-%d", i+1)}
		frames, err := wire.NewReader(bytes.NewReader(body), int64(len(body)))
		if err != nil {
			return a, err
		}
		for {
			item, err := frames.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return a, err
			}
			switch {
			case item.Chunk != nil:
				n.Chunks = append(n.Chunks, item.Chunk)
			case item.Values != nil:
				n.Binned = append(n.Binned, apiv1.Binned{Values: item.Values, Weights: item.Weights})
			}
		}
		a.Nodes = append(a.Nodes, n)
	}
	return a, nil
}

// A discard is a client that costs nothing.
type discard struct {
	header http.Header
	to     io.Writer
}

func (d *discard) Header() http.Header {
	if d.header == nil {
		d.header = http.Header{}
	}
	return d.header
}

func (d *discard) Write(p []byte) (int, error) { return d.to.Write(p) }
func (d *discard) WriteHeader(int)             {}
