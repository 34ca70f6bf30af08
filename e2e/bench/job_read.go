package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/layout"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A readRequest is to read a ring that holds a day.
type readRequest struct {
	Dir     string
	Slots   int64 // that are a day
	Repeat  time.Duration
	Profile string
}

// A readResult is what reads cost, in ms of CPU. Stored is of one closed block,
// the others are of the newest time.
type readResult struct {
	Container, Pod, All, Latest      float64
	ContainerStored, AllStored       float64
	NumbersOfContainer, NumbersOfAll int
}

// readJob is the job "read".
func readJob(ctx context.Context, p *child.Parent) error {
	var q readRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	st, err := openLayout("ring", "", q.Dir, q.Slots)
	if err != nil {
		return err
	}
	r := st.(*layout.Ring)
	newest, scrape, ok := r.Latest()
	if !ok {
		return errors.Join(errors.New("the ring is empty"), st.Close())
	}
	stop, err := meter.ProfileCPU(q.Profile)
	if err != nil {
		return err
	}
	reads, err := measureReads(ctx, st, &scrape, newest, q.Slots, q.Repeat)
	if err != nil {
		return err
	}
	reads.Latest, err = repeat(ctx, q.Repeat, func(int) error {
		if _, s, ok := r.Latest(); !ok || len(s.Groups) == 0 {
			return errors.New("no latest sample")
		}
		return nil
	})
	if err := errors.Join(err, stop(), st.Close()); err != nil {
		return err
	}
	return p.Result(reads)
}

// measureReads reads pods and containers of the scrape in turn.
func measureReads(ctx context.Context, st layout.Store, scrape *model.Scrape, newest, slots int64, long time.Duration) (r readResult, err error) {
	// Pods that lived all day, or there would be less to read.
	pods := slices.DeleteFunc(slices.Clone(scrape.Groups[1:]), func(g model.Group) bool {
		return slices.ContainsFunc(g.Samples, func(s model.Sample) bool { return s.Start > newest-slots*job.SlotSeconds })
	})
	if len(pods) == 0 {
		return r, errors.New("no pod lived all day; try another --seed")
	}
	last := func(seconds int64) layout.Query {
		return layout.Query{From: newest - seconds + job.SlotSeconds, To: newest}
	}
	read := func(n *int, q func(i int) layout.Query) float64 {
		if err != nil {
			return 0
		}
		var took float64
		took, err = repeat(ctx, long, func(i int) error {
			numbers, err := st.Read(ctx, q(i))
			if err == nil && numbers == 0 {
				err = fmt.Errorf("nothing found for %+v", q(i))
			}
			if n != nil {
				*n = numbers
			}
			return err
		})
		return took
	}
	of := func(q layout.Query, i int, container bool) layout.Query {
		g := &pods[i%len(pods)]
		q.Namespace, q.Pod = g.Pod.Namespace, g.Pod.Name
		if container {
			q.Container = g.Samples[len(g.Samples)-1].Name
		}
		return q
	}
	// The block before the newest, whole: all of it is on disk.
	stored := layout.Query{From: model.BlockOf(newest) - model.BlockSeconds, To: model.BlockOf(newest) - job.SlotSeconds}

	r.Container = read(&r.NumbersOfContainer, func(i int) layout.Query { return of(last(model.BlockSeconds), i, true) })
	r.ContainerStored = read(nil, func(i int) layout.Query { return of(stored, i, true) })
	r.Pod = read(nil, func(i int) layout.Query { return of(last(slots*job.SlotSeconds), i, false) })
	r.All = read(&r.NumbersOfAll, func(int) layout.Query { return last(model.BlockSeconds) })
	r.AllStored = read(nil, func(int) layout.Query { return stored })
	return r, err
}

// repeatLeast is how often anything is repeated.
const repeatLeast = 3

// repeat is what f costs in ms of CPU, of the whole process. It is done for so
// long that garbage collection and chance are shared by many.
func repeat(ctx context.Context, long time.Duration, f func(i int) error) (float64, error) {
	for i := range 2 { // warms up
		if err := f(i); err != nil {
			return 0, err
		}
	}
	before, n := meter.CPU(), 0
	for ; n < repeatLeast || meter.CPU()-before < long; n++ {
		if err := f(n); err != nil {
			return 0, err
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	return meter.Millis(meter.CPU()-before) / float64(n), nil
}
