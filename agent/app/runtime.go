package app

import (
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

const (
	// gcPercent is GOGC: 100, Go's default, makes the agent 2 MiB larger
	// (docs/bench/agent.json).
	gcPercent = 50
	// maxProcs is GOMAXPROCS: on a node of 64 cores the Go runtime keeps 5 MiB
	// for processors that have nothing to do.
	maxProcs = 2
)

// TuneRuntime makes the process small: it is there once on every node. GOGC,
// GOMAXPROCS and GOMEMLIMIT in the environment win. It is for a process that is
// one agent: it changes settings of all the process.
//
// Profiles of the heap are off, as the runtime's table for them is 1.4 MiB;
// GODEBUG=memprofilerate=524288 in the environment turns them on.
func TuneRuntime(log *slog.Logger) {
	if !strings.Contains(os.Getenv("GODEBUG"), "memprofilerate=") {
		runtime.MemProfileRate = 0
	}
	cli.TuneMemory(gcPercent, log)
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(maxProcs, runtime.GOMAXPROCS(0)))
	}
}
