package ring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What lies in the ring's directory:
//
//	LOCK                        held by the process that uses the directory
//	ring/                       the store
//	ring.new/                   a store that is being made of a damaged one
//	ring.damaged-<when>-<why>/  a damaged store, set aside; the file WHY says more
//	ring.fatal                  Pebble ended the process; says why
//	probe                       written, and removed, to see whether that works
const (
	lockName    = "LOCK"
	storeName   = "ring"
	newName     = "ring.new"
	asidePrefix = "ring.damaged-"
	whyName     = "WHY"
	fatalName   = "ring.fatal"
	probeName   = "probe"

	asideTime = "2006-01-02T150405Z" // UTC
	// maxAside is how many damaged stores are kept.
	maxAside = 2
	// minFree is how much space is left to others: below it nothing is
	// written. It is enough for Pebble's logs and a compaction.
	minFree = 16 << 20
)

var (
	// errSchema says that the store is of another version. It is left untouched.
	errSchema = errors.New("store of another schema version")
	// errInUse says that another process uses the directory.
	errInUse = errors.New("the directory is in use by another process")
	// errGone says that somebody deleted the store.
	errGone = errors.New("the store's directory is gone")
	// errNoRoom says that the file system is nearly full.
	errNoRoom = errors.New("no room")
)

// A SetAside is a damaged store that was set aside.
type SetAside struct {
	// Name is its directory's name in the ring's directory.
	Name string `json:"name"`
	// At is when it was set aside.
	At time.Time `json:"at,omitzero"`
	// Why says what was wrong with it.
	Why string `json:"why"`
	// Bytes is its size.
	Bytes int64 `json:"bytes"`
}

// A directory is the ring's directory.
type directory struct {
	fs   vfs.FS
	path string
	lock io.Closer // nil until it is held
}

func (d *directory) join(name string) string { return d.fs.PathJoin(d.path, name) }

// acquire makes the directory and takes its lock, which it keeps. readOnly
// says that this cannot be done because nothing can be written.
func (d *directory) acquire() (readOnly bool, err error) {
	if d.lock != nil {
		if d.exists(lockName) {
			return false, nil
		}
		if err := d.release(); err != nil { // somebody deleted it
			return false, err
		}
	}
	if err := d.make(); err != nil {
		return cannotWrite(err), err
	}
	lock, err := d.fs.Lock(d.join(lockName))
	switch {
	case err == nil:
		d.lock = lock
		return false, nil
	case cannotWrite(err):
		return true, err
	}
	return false, fmt.Errorf("%w: %w", errInUse, err)
}

// make makes the directory, so that it outlasts a power loss.
func (d *directory) make() error {
	if d.exists("") {
		return nil
	}
	if err := d.fs.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	for dir := d.path; ; dir = d.fs.PathDir(dir) {
		if err := d.sync(dir); err != nil && !cannotWrite(err) { // one above that is not ours
			return err
		}
		if parent := d.fs.PathDir(dir); parent == dir {
			return nil
		}
	}
}

func (d *directory) release() error {
	if d.lock == nil {
		return nil
	}
	lock := d.lock
	d.lock = nil
	return lock.Close()
}

// cannotWrite tells errors of a disk that can be read but not written. (A lock
// that is held is another error: EAGAIN.)
func cannotWrite(err error) bool {
	for _, e := range []error{fs.ErrPermission, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// room is an error that wraps errNoRoom if too little space is free. It
// returns how much is; 0 if the file system does not say.
func (d *directory) room() (free int64, err error) {
	usage, err := d.fs.GetDiskUsage(d.path)
	if err != nil {
		return 0, nil // not every file system tells
	}
	free = int64(min(usage.AvailBytes, 1<<62))
	if free < minFree {
		return free, fmt.Errorf("%w: %d MiB are free on the file system of %s, and %d MiB are left to others; free some", errNoRoom, free>>20, d.path, minFree>>20)
	}
	return free, nil
}

// probe tries whether a file can be written.
func (d *directory) probe() error {
	if err := d.write(probeName, "x"); err != nil {
		return err
	}
	return d.fs.Remove(d.join(probeName))
}

// write writes a small file to disk.
func (d *directory) write(name, content string) error {
	f, err := d.fs.Create(d.join(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	return errors.Join(err, f.Sync(), f.Close())
}

func (d *directory) read(name string) string {
	f, err := d.fs.Open(d.join(name))
	if err != nil {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if errors.Join(err, f.Close()) != nil {
		return ""
	}
	return string(b)
}

// A finding is what there is of a store, by its files' names.
type finding int

const (
	noStore   finding = iota // nothing, or nothing of value
	aStore                   // to be opened
	noPointer                // files with data that Pebble would not look at
)

// find looks at the files. Pebble opens a store whose marker of the manifest
// is missing as an empty one, and deletes the rest.
func (d *directory) find() (finding, error) {
	names, err := d.fs.List(d.join(storeName))
	if errors.Is(err, fs.ErrNotExist) {
		return noStore, nil
	}
	if err != nil {
		return noStore, err
	}
	var data, pointer bool
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "marker.manifest."):
			pointer = true
		case strings.HasSuffix(name, ".sst"):
			data = true
		case strings.HasSuffix(name, ".log"):
			info, err := d.fs.Stat(d.fs.PathJoin(d.join(storeName), name))
			if err != nil {
				return noStore, err
			}
			data = data || info.Size() > 0
		}
	}
	switch {
	case !data:
		return noStore, nil
	case !pointer:
		return noPointer, nil
	}
	return aStore, nil
}

// finishSwitch completes or undoes what a crash interrupted.
func (d *directory) finishSwitch() error {
	if !d.exists(newName) {
		return nil
	}
	if d.exists(storeName) {
		return d.fs.RemoveAll(d.join(newName))
	}
	return d.fs.Rename(d.join(newName), d.join(storeName))
}

func (d *directory) exists(name string) bool {
	_, err := d.fs.Stat(d.join(name))
	return err == nil
}

// switchStores sets the store aside and puts the new one in its place.
func (d *directory) switchStores(slug, why string, now time.Time) (name string, err error) {
	name = asidePrefix + now.UTC().Format(asideTime) + "-" + slug
	for n := 2; d.exists(name); n++ {
		name = fmt.Sprintf("%s%s-%s-%d", asidePrefix, now.UTC().Format(asideTime), slug, n)
	}
	if err := d.fs.Rename(d.join(storeName), d.join(name)); err != nil {
		return "", err
	}
	if err := d.fs.Rename(d.join(newName), d.join(storeName)); err != nil {
		return "", err
	}
	_ = d.write(d.fs.PathJoin(name, whyName), why+"\n") // the log has it, too
	d.dropAside(maxAside)
	return name, d.sync(d.path)
}

func (d *directory) sync(path string) error {
	dir, err := d.fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// syncLogs writes the store's logs from the kernel's memory to the disk, which
// who wrote them may not have lived to do. Pebble writes what they hold into
// tables before its manifest lists these: after a power loss between the two
// such a table would hold what is nowhere else, and be taken for one that a
// damaged manifest forgot.
func (d *directory) syncLogs() error {
	names, err := d.fs.List(d.join(storeName))
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		f, err := d.fs.OpenReadWrite(d.fs.PathJoin(d.join(storeName), name), vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// aside lists the stores that were set aside, oldest first.
func (d *directory) aside() []SetAside {
	names, _ := d.fs.List(d.path)
	slices.Sort(names)
	var list []SetAside
	for _, name := range names {
		if !strings.HasPrefix(name, asidePrefix) {
			continue
		}
		a := SetAside{Name: name, Why: strings.TrimSpace(d.read(d.fs.PathJoin(name, whyName)))}
		when, _, _ := strings.Cut(name[len(asidePrefix):], "Z")
		a.At, _ = time.Parse(asideTime, when+"Z") // else it stays unknown
		files, _ := d.fs.List(d.join(name))
		for _, f := range files {
			if info, err := d.fs.Stat(d.fs.PathJoin(d.join(name), f)); err == nil {
				a.Bytes += info.Size()
			}
		}
		list = append(list, a)
	}
	return list
}

// dropAside removes the oldest of the stores that were set aside, but for keep.
func (d *directory) dropAside(keep int) {
	list := d.aside()
	for i := 0; i < len(list)-keep; i++ {
		_ = d.fs.RemoveAll(d.join(list[i].Name)) // tried again the next time
	}
}
