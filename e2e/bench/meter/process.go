// Package meter measures processes by what Linux counts: CPU, memory, writes.
package meter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// CPU is the CPU time of this process so far, user and system, all threads.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no way to fail but a bad argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// CPUOf is the CPU time of another process. Its CPU clock counts nanoseconds,
// where /proc/PID/stat has ticks of 10 ms: an idle agent uses less than one in
// a minute.
func CPUOf(pid int) (time.Duration, error) {
	// MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of linux/posix-timers_types.h.
	clock := int32(^pid)<<3 | 2
	var t syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, errno)
	}
	return time.Duration(t.Nano()), nil
}

// A Resident is what a process has in memory, in MiB.
type Resident struct {
	// All is VmRSS: Anon, what only it has, and File, mostly the binary's own
	// pages, which the kernel can drop.
	All, Anon, File float64
	// Pss is All with shared pages divided by how many processes share them.
	Pss float64
}

func (r Resident) String() string {
	return fmt.Sprintf("anonymous %.1f, file %.1f MiB", r.Anon, r.File)
}

// ResidentOf is what a process has in memory now.
func ResidentOf(pid int) (Resident, error) {
	status, err := procFields(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Resident{}, err
	}
	r := Resident{All: status["VmRSS"] / 1024, Anon: status["RssAnon"] / 1024, File: status["RssFile"] / 1024}
	if r.All == 0 {
		return r, fmt.Errorf("process %d has ended", pid)
	}
	rollup, err := procFields(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	r.Pss = rollup["Pss"] / 1024
	return r, err
}

// Written is what a process has written, in bytes: to the disk, as
// the kernel counts pages that became dirty, and in calls of write.
type Written struct{ Disk, Calls float64 }

// Since is what was written after before.
func (w Written) Since(before Written) Written {
	return Written{Disk: w.Disk - before.Disk, Calls: w.Calls - before.Calls}
}

// OwnWritten is what this process has written so far.
func OwnWritten() (Written, error) {
	io, err := procFields("/proc/self/io")
	return Written{Disk: io["write_bytes"], Calls: io["wchar"]}, err
}

// procFields reads "name: number unit" lines.
func procFields(path string) (map[string]float64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fields := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if f := strings.Fields(rest); len(f) > 0 {
			if x, err := strconv.ParseFloat(f[0], 64); err == nil {
				fields[name] = x
			}
		}
	}
	return fields, nil
}

// Disk is what a directory takes of the disk in bytes, with all below it:
// whole blocks, and what files have reserved beyond their ends. Files that go
// while it looks are not counted.
func Disk(dir string) (float64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		var s syscall.Stat_t
		if err := syscall.Lstat(path, &s); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		n += s.Blocks * 512 // st_blocks counts 512 bytes on every file system
		return nil
	})
	return float64(n), err
}

// FileSystem names the kind of file system of a directory.
func FileSystem(dir string) (string, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("file system of %s: %w", dir, err)
	}
	names := map[int64]string{0x01021994: "tmpfs", 0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x794c7630: "overlay"}
	if name, ok := names[int64(s.Type)]; ok {
		return name, nil
	}
	return fmt.Sprintf("%#x", s.Type), nil
}

// Millis is a time in milliseconds.
func Millis(d time.Duration) float64 { return d.Seconds() * 1000 }
