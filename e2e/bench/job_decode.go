package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
)

// A decodeRequest is to decode full answers.
type decodeRequest struct {
	Seed    uint64
	Begin   int64
	Repeat  time.Duration
	Profile string
}

// A decodeResult is what decoding one costs: ms of CPU and allocations.
type decodeResult struct {
	CPU, Allocs         float64
	JSONCPU, JSONAllocs float64
	// WithPSI is CPU with PSI of all containers, which a node with cgroup v2 has.
	WithPSI   float64
	Size, Big int // bytes, without and with that
}

// decodeJob is the job "decode".
func decodeJob(ctx context.Context, p *child.Parent) error {
	var q decodeRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	rec, err := fullnode.LoadRecording()
	if err != nil {
		return err
	}
	node, err := fullnode.New(rec, fullnode.Recorded, q.Seed, q.Begin)
	if err != nil {
		return err
	}
	var docs, big [8][]byte
	for i := range docs {
		node.Next(q.Begin + int64(i)*job.SlotSeconds)
		docs[i], big[i] = node.AppendRecordedForm(nil), node.AppendDocument(nil, true, true)
	}
	decode := func(docs *[8][]byte) func(i int) error {
		return func(i int) error {
			s, skipped, err := kubelet.Decode(docs[i%len(docs)])
			if err == nil && (s.Entities() != 1+fullnode.Pods+fullnode.Containers || len(skipped) > 0) {
				err = fmt.Errorf("%d entities, skipped %v", s.Entities(), skipped)
			}
			return err
		}
	}
	byJSON := func(i int) error {
		var s stats.Summary
		err := json.Unmarshal(docs[i%len(docs)], &s)
		if err == nil && len(s.Pods) != fullnode.Pods {
			err = errors.New("pods are missing")
		}
		return err
	}
	r := decodeResult{Size: len(docs[0]), Big: len(big[0])}
	stop, err := meter.ProfileCPU(q.Profile)
	if err != nil {
		return err
	}
	if r.CPU, r.Allocs, err = repeatCounting(ctx, q.Repeat, decode(&docs)); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	if r.WithPSI, _, err = repeatCounting(ctx, q.Repeat, decode(&big)); err != nil {
		return err
	}
	if r.JSONCPU, r.JSONAllocs, err = repeatCounting(ctx, q.Repeat, byJSON); err != nil {
		return err
	}
	return p.Result(r)
}

// repeatCounting is repeat that counts allocations as well.
func repeatCounting(ctx context.Context, long time.Duration, f func(i int) error) (cpu, allocs float64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	cpu, err = repeat(ctx, long, func(i int) error { n++; return f(i) })
	runtime.ReadMemStats(&after)
	return cpu, float64(after.Mallocs-before.Mallocs) / float64(n), err
}
