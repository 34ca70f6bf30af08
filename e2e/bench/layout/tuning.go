package layout

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
)

// Tuning finds a change of Pebble's options by name.
func Tuning(name string) (func(*pebble.Options), error) {
	switch name {
	case "":
		return nil, nil
	case "zstd":
		return func(o *pebble.Options) {
			o.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
				return pebble.UniformDBCompressionSettings(block.ZstdCompression)
			})
		}, nil
	case "memtable":
		return func(o *pebble.Options) { o.MemTableSize = 4 << 20 }, nil
	case "idle":
		// The scheduler with its ticker, and the file system with health checks.
		return func(o *pebble.Options) {
			o.Experimental.CompactionScheduler = nil
			o.WithFSDefaults()
		}, nil
	}
	return nil, fmt.Errorf("no tuning %q", name)
}
