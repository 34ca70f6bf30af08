package ring

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// options are Pebble's options for a small store that is mostly idle.
func options(s *store, l listener) *pebble.Options {
	o := &pebble.Options{
		// Given explicitly, Pebble does not wrap it with disk health checks,
		// whose tickers cost more than all the agent's work.
		FS:     s.guard,
		Logger: &logger{l},
		// Pinned, so that a rollback of the agent by one version can read it.
		FormatMajorVersion: pebble.FormatValueSeparation,
		// A block's chunks are 0.25 MB; records of a block the same. With 512 KiB
		// the logs, which are used again and again, take 0.6 MB more; with 128
		// KiB a quarter more is written.
		MemTableSize: 256 << 10,
		CacheSize:    1 << 20,
		MaxOpenFiles: 64,
		// Four flushes of records and chunks before anything is compacted.
		L0CompactionThreshold:      4,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		MaxConcurrentDownloads:     func() int { return 1 },
		DisableTableStats:          true,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.fail(fmt.Errorf("background work: %w", err)) },
			// Pebble's default is Fatalf; a block that cannot be read is no
			// reason to lose the others.
			DataCorruption: func(i pebble.DataCorruptionInfo) { s.fail(fmt.Errorf("damaged: %s: %w", i.Path, i.Details)) },
		},
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 1 << 20
		// Chunks are about 1.5 kB: 4 KiB, the default, takes 2 % more. When
		// one is damaged Pebble tries each bit, which grows with the square.
		o.Levels[i].BlockSize = 8 << 10
	}
	// Deltas do not compress: zstd costs 2.3 times the CPU and saves nothing.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	// Else Pebble logs an Excise, and does it when it flushes. A flush that
	// fails, as it does when a table is needed that went nowhere after the
	// guard froze, is repeated without a pause and without an end.
	o.Experimental.DisableIngestAsFlushable = func() bool { return true }
	o.Experimental.CompactionScheduler = scheduler{pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest(), s}
	return o
}

// A scheduler is Pebble's own without its ticker of 100 ms: it acts on flushes
// and on ends of compactions, which is all there is with one store. And it
// starts nothing on a store that is to be closed: Pebble repeats a compaction
// that failed without a pause.
type scheduler struct {
	*pebble.ConcurrencyLimitScheduler
	store *store
}

// TrySchedule implements [pebble.CompactionScheduler].
func (s scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if s.store.broken() != nil {
		return false, nil
	}
	return s.ConcurrencyLimitScheduler.TrySchedule()
}

// A logger takes what Pebble logs.
type logger struct{ listener }

// Infof drops what Pebble tells of its daily work.
func (*logger) Infof(string, ...any) {}

// Errorf takes what Pebble logs of errors; each also reaches the listener.
func (l *logger) Errorf(format string, args ...any) {
	l.log.Debug("pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf is Pebble's word that it cannot go on.
func (l *logger) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf(format, args...))
}
