package cli

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TuneMemory sets GOGC, and GOMEMLIMIT to most of what the container may use.
// Both in the environment win. The limit is only a net: it makes the collector
// work harder before the kernel ends the process. Settings are of all the
// process.
func TuneMemory(gcPercent int, log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	limit, err := memlimit.Set()
	if err != nil {
		log.Debug("no memory limit found", "err", err)
	}
	log.Debug("memory tuned", "GOMEMLIMIT", limit, "GOGC", gcPercent)
}
