package ring

import (
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A guard is the file system as the store sees it. Pebble has no way to live
// with a write that fails: it ends the process, or tries again without a pause.
// So Pebble never sees one. At the first failure the guard freezes: what is
// on disk stays as it is, and all further changes go nowhere, with success.
// For the disk that is the moment of a kill −9, which Pebble knows how to
// recover from; for the ring it is the sign to close the store and to open it
// again. A write counts only if the guard has not frozen after it.
type guard struct {
	vfs.FS
	cause  atomic.Pointer[error] // nil until it freezes
	frozen func(error)           // called once, from whichever goroutine wrote
}

func newGuard(fs vfs.FS, frozen func(error)) *guard { return &guard{FS: fs, frozen: frozen} }

// errReadOnly is the cause of a guard that was never to write.
var errReadOnly = errors.New("opened for reading only")

// err is why the guard froze, nil while it has not.
func (g *guard) err() error {
	if cause := g.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// freeze stops all changes. Only the first cause counts.
func (g *guard) freeze(cause error) {
	if g.cause.CompareAndSwap(nil, &cause) {
		g.frozen(cause)
	}
}

// change makes a change unless the guard is frozen, which its failure does.
func (g *guard) change(f func() error) {
	if g.err() != nil {
		return
	}
	if err := f(); err != nil {
		g.freeze(err)
	}
}

// file makes a change that opens a file.
func (g *guard) file(f func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	g.change(func() (err error) {
		file, err = f()
		return err
	})
	if file == nil {
		return newNowhere(), nil
	}
	return &guardedFile{file, g}, nil
}

func (g *guard) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.Create(name, c) })
}

func (g *guard) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, o...) })
}

func (g *guard) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.ReuseForWrite(from, to, c) })
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	dir, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{dir, g}, nil
}

func (g *guard) Link(from, to string) error {
	g.change(func() error { return g.FS.Link(from, to) })
	return nil
}

func (g *guard) Rename(from, to string) error {
	g.change(func() error { return g.FS.Rename(from, to) })
	return nil
}

func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	g.change(func() error { return g.FS.MkdirAll(dir, perm) })
	return nil
}

// Remove tells of a file that is not there, which Pebble expects.
func (g *guard) Remove(name string) (missing error) {
	g.change(func() error {
		err := g.FS.Remove(name)
		if errors.Is(err, os.ErrNotExist) {
			missing = err
			return nil
		}
		return err
	})
	return missing
}

func (g *guard) RemoveAll(name string) error {
	g.change(func() error { return g.FS.RemoveAll(name) })
	return nil
}

// Lock changes nothing: the ring holds the lock of the directory above.
func (g *guard) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (g *guard) Unwrap() vfs.FS { return g.FS }

// A guardedFile is a file that may be written.
type guardedFile struct {
	vfs.File
	guard *guard
}

func (f *guardedFile) Write(p []byte) (int, error) {
	f.guard.change(func() error {
		_, err := f.File.Write(p)
		return err
	})
	return len(p), nil
}

func (f *guardedFile) WriteAt(p []byte, at int64) (int, error) {
	f.guard.change(func() error {
		_, err := f.File.WriteAt(p, at)
		return err
	})
	return len(p), nil
}

func (f *guardedFile) Preallocate(offset, length int64) error {
	f.guard.change(func() error { return f.File.Preallocate(offset, length) })
	return nil
}

func (f *guardedFile) Sync() error {
	f.guard.change(f.File.Sync)
	return nil
}

func (f *guardedFile) SyncData() error {
	f.guard.change(f.File.SyncData)
	return nil
}

func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	f.guard.change(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, nil
}

// Close always closes; of a frozen guard it no longer matters how.
func (f *guardedFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.guard.freeze(err)
	}
	return nil
}

// nowhere is a file that was created after the guard froze: an empty one that
// takes everything.
type nowhere struct{ vfs.File }

func newNowhere() vfs.File { return nowhere{vfs.NewMemFile(nil)} }

func (nowhere) Write(p []byte) (int, error)            { return len(p), nil }
func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nowhere) Preallocate(_, _ int64) error           { return nil }
func (nowhere) Sync() error                            { return nil }
func (nowhere) SyncTo(int64) (bool, error)             { return false, nil }
func (nowhere) SyncData() error                        { return nil }
