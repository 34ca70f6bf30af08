package ring

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const mountEnv = "ROLLCALL_TEST_MOUNT"

// TestMountedDisk drives the ring on a file system of its own, which is filled
// up, freed, and made read-only: in a child with its own namespaces, so that
// nothing is left behind however it ends.
func TestMountedDisk(t *testing.T) {
	if os.Getenv(mountEnv) == "" {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMountedDisk$", "-test.v", "-test.timeout=2m")
		c.Env = append(os.Environ(), mountEnv+"="+t.TempDir())
		c.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			Pdeathsig:   syscall.SIGKILL,
		}
		out, err := c.CombinedOutput()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || strings.Contains(string(out), "cannot mount") {
			t.Skipf("no user namespaces here: %v %s", err, out)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS: TestMountedDisk") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	dir := os.Getenv(mountEnv)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=40m"); err != nil {
		t.Fatalf("cannot mount: %v", err)
	}
	cfg := config(nil)
	cfg.Dir = filepath.Join(dir, "data")
	r := open(t, cfg)
	all := slots(t0, 100)
	mustAppend(t, r, all...)

	refuses := func(want error, hint string) {
		t.Helper()
		for range 3 * reopenEvery {
			slot := all[len(all)-1] + 15
			if err := r.Append(slot, at(slot, 3)); !errors.Is(err, want) {
				t.Fatalf("append: %v", err)
			}
			all = append(all, slot)
		}
		checkHolds(t, r, all...)
		if s := r.Status(); s.State != ReadOnly || !strings.Contains(s.Error, hint) {
			t.Fatalf("status %+v", s)
		}
	}
	fill(t, dir)
	refuses(errNoRoom, "free some")
	if err := r.Close(); err == nil {
		t.Fatal("what is in memory is lost, and Close does not say so")
	}
	all = all[:100]
	r = open(t, cfg) // a start on a full disk
	refuses(errNoRoom, "free some")
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	all = appendUntilStored(t, r, all)
	checkHolds(t, r, all...)

	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, "size=40m"); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	remount(syscall.MS_RDONLY)
	r, lines := logged(t, cfg)
	refuses(syscall.EROFS, "read-only file system")
	remount(0)
	all = appendUntilStored(t, r, all)
	checkHolds(t, r, all...)
	if s := r.Status(); len(s.SetAside) > 0 || s.State != OnDisk {
		t.Fatalf("status %+v", s)
	}
	if n := len(lines()); n > 6 {
		t.Errorf("%d log lines:\n%s", n, strings.Join(lines(), "\n"))
	}
}

// fill writes a file until there is no space.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for {
		if _, err := f.Write(make([]byte, 1<<20)); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
