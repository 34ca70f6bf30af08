package main

import (
	"context"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
)

// An openRequest is to open a ring.
type openRequest struct {
	Dir     string
	Slots   int64
	Profile string
}

// openJob is the job "open": what opening costs, in ms of CPU.
func openJob(_ context.Context, p *child.Parent) error {
	var q openRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	stop, err := meter.ProfileCPU(q.Profile)
	if err != nil {
		return err
	}
	before := meter.CPU()
	st, err := openLayout("ring", "", q.Dir, q.Slots)
	cpu := meter.Millis(meter.CPU() - before)
	if err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	if err := st.Close(); err != nil {
		return err
	}
	return p.Result(cpu)
}
