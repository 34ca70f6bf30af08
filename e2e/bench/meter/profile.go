package meter

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
)

// ProfileCPU profiles until stop is called; "" is no profile.
func ProfileCPU(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path + ".cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// ProfileHeap writes what is in use and what was allocated; "" is no profile.
func ProfileHeap(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path + ".heap")
	if err != nil {
		return err
	}
	runtime.GC() // a heap profile is as old as the last collection
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
