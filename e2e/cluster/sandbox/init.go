package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// runInit is process 1 of the sandbox. Its exit code is the work's; the kernel
// kills what is left when it ends.
func runInit() (int, error) {
	// Before the first child, so that none of its signals is missed.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGINT, unix.SIGTERM)

	binds := map[string]string{StateDir: os.Getenv(dirVar), BinDir: os.Getenv(binVar)}
	if err := mountRoot(unix.MS_PRIVATE, binds); err != nil {
		return 0, err
	}
	if err := linkUp("lo"); err != nil {
		return 0, fmt.Errorf("bring lo up: %w", err)
	}

	os.Setenv(roleVar, roleWork)
	work, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return 0, fmt.Errorf("start the work: %w", err)
	}
	for s := range signals {
		if s != unix.SIGCHLD {
			_ = unix.Kill(work, s.(syscall.Signal)) // it may have ended
			continue
		}
		if status, ended := reap(work); ended {
			return exitCode(status), nil
		}
	}
	return 0, errors.New("no more signals")
}

// reap takes note of all children that ended, and says whether pid did. Orphans
// of the whole PID namespace end up here.
func reap(pid int) (status syscall.WaitStatus, ended bool) {
	for {
		var s syscall.WaitStatus
		switch got, err := syscall.Wait4(-1, &s, unix.WNOHANG, nil); {
		case errors.Is(err, unix.EINTR):
		case err != nil || got == 0:
			return status, ended
		case got == pid:
			status, ended = s, true
		}
	}
}
