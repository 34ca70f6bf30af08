package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mountRoot makes the mount namespace the process was started in its own: with
// the propagation given, with a /proc of its PID namespace, an empty /run, and
// the directories of binds, target to source. A source may be below a target,
// or hidden by /run.
func mountRoot(propagation uintptr, binds map[string]string) error {
	// Private first: what is mounted below must not show where we came from.
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	sources := map[string]int{}
	for target, source := range binds {
		fd, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s, to be %s: %w", source, target, err)
		}
		defer unix.Close(fd)
		sources[target] = fd
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for target, fd := range sources {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	if propagation == unix.MS_PRIVATE {
		return nil
	}
	if err := unix.Mount("", "/", "", propagation|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("change the propagation of mounts: %w", err)
	}
	return nil
}

// linkUp sets a network interface up.
func linkUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
