package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Possible says why this machine cannot run a sandbox: no root, or a kernel
// without what it takes. What apt-get can mend is not its business.
func Possible() error {
	if Inside() || os.Getenv(roleVar) != "" {
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("a cluster needs root, for namespaces, mounts and cgroups")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Path = "/bin/true"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("a cluster needs PID, mount, network, UTS and IPC namespaces, which this machine refuses (in a container, run it privileged): %w", err)
	}
	return possibleCgroups()
}

// possibleCgroups says which controllers are missing that kubelet insists on.
func possibleCgroups() error {
	var missing []string
	unified, err := os.ReadFile(cgroupMount + "/cgroup.controllers")
	for _, c := range []string{"cpu", "cpuset", "memory", "pids"} {
		if err == nil {
			if !strings.Contains(" "+strings.TrimSpace(string(unified))+" ", " "+c+" ") {
				missing = append(missing, c)
			}
		} else if _, err := os.Stat(cgroupMount + "/" + c); err != nil {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("a cluster needs cgroup controllers that are not mounted in %s: %s", cgroupMount, strings.Join(missing, ", "))
	}
	return nil
}
