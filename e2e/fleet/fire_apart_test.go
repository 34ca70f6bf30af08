package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
)

// apartMemory is what an aggregator that is a process of its own is told to use,
// GOMEMLIMIT in MiB: nine tenths of what its container would have.
const apartMemory = 512

// apart makes the aggregators processes of their own: each end of thousands of
// connections is an open file, and a process may not have as many as it likes.
func (f *fire) apart(t *testing.T) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "rollcall-aggregator")
	if err := child.BuildLike(t.Context(), binary, "github.com/rollcall-metrics/rollcall/aggregator"); err != nil {
		t.Fatal(err)
	}
	f.processes = map[*aggregator]*child.Process{}
	for _, a := range f.aggregators {
		a.begin = func(context.Context) (func(context.Context) error, error) { return f.beginApart(a, binary) }
	}
}

// beginApart starts an aggregator's process.
func (f *fire) beginApart(a *aggregator, binary string) (func(context.Context) error, error) {
	cmd := exec.Command(binary, append(a.arguments(), "--node-timeout", a.cfg.Fanout.NodeTimeout.String(), "--log-level", "error")...)
	p, err := child.Start(a.name, cmd, fmt.Sprintf("GOMEMLIMIT=%dMiB", apartMemory))
	if err != nil {
		return nil, err
	}
	f.processes[a] = p
	return func(ctx context.Context) error {
		<-ctx.Done()
		return p.Stop()
	}, nil
}

// memory is what an aggregator takes, in bytes: what its process had resident
// at most since afresh, or the live heap of this process.
func (f *fire) memory(a *aggregator, afresh bool) (uint64, error) {
	p := f.processes[a]
	if p == nil {
		return liveHeap(afresh), nil
	}
	if afresh {
		if err := meter.ResetPeak(p.PID()); err != nil {
			return 0, err
		}
	}
	peak, err := meter.PeakOf(p.PID())
	return uint64(peak * (1 << 20)), err
}

// stacks are those of all goroutines of an aggregator that is a process of its
// own.
func (f *fire) stacks(a *aggregator) (string, error) {
	resp, err := f.web.Get("http://" + a.cfg.DebugListen + "/debug/pprof/goroutine?debug=2")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
