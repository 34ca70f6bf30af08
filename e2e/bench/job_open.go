package main

import (
	"context"
	"encoding/json"

	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
)

// An openRequest is to open a ring.
type openRequest struct {
	Dir     string
	Slots   int64
	Profile string
}

// openJob is the job "open": what opening costs, in ms of CPU.
func openJob(_ context.Context, request []byte, result func(any) error) error {
	var q openRequest
	if err := json.Unmarshal(request, &q); err != nil {
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
	return result(cpu)
}
