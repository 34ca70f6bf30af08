package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Variables for the process of role host.
const (
	hostNameVar = "ROLLCALL_SANDBOX_HOST"
	hostVarVar  = "ROLLCALL_SANDBOX_HOST_VAR"
)

// A Host is a machine inside the sandbox: process, mount, network and host name
// namespaces of its own. /var and /run are its own as well, everything else is
// shared, /etc and binaries among it. Its network has nothing but a loopback.
type Host struct {
	Name string
	init *exec.Cmd
	// namespaces are open files of /proc/PID/ns. Of the mount namespace first:
	// entering it needs the capabilities that come with no other.
	namespaces []namespace
}

type namespace struct {
	file *os.File
	kind int
}

// StartHost starts one; varDir is its /var and outlives it.
func StartHost(name, varDir string) (*Host, error) {
	ready, readyW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), roleVar+"="+roleHost, hostNameVar+"="+name, hostVarVar+"="+varDir)
	cmd.ExtraFiles = []*os.File{readyW}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	err = cmd.Start()
	readyW.Close()
	if err != nil {
		return nil, fmt.Errorf("start host %s: %w", name, err)
	}
	h := &Host{Name: name, init: cmd}
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		return nil, errors.Join(fmt.Errorf("host %s has not started: %w", name, err), h.Kill())
	}
	for _, ns := range []struct {
		name string
		kind int
	}{{"mnt", unix.CLONE_NEWNS}, {"net", unix.CLONE_NEWNET}, {"uts", unix.CLONE_NEWUTS}, {"ipc", unix.CLONE_NEWIPC}, {"pid", unix.CLONE_NEWPID}} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", cmd.Process.Pid, ns.name))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("host %s: %w", name, err), h.Kill())
		}
		h.namespaces = append(h.namespaces, namespace{f, ns.kind})
	}
	return h, nil
}

// PID is the host's process 1, as the work sees it. Its /proc/PID/root is the
// host's file system, and links can be moved into its network.
func (h *Host) PID() int { return h.init.Process.Pid }

// Kill ends the host as a power cut would: with everything that runs on it, and
// without a word to its peers.
func (h *Host) Kill() error {
	for _, ns := range h.namespaces {
		ns.file.Close()
	}
	h.namespaces = nil
	if err := h.init.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill host %s: %w", h.Name, err)
	}
	_ = h.init.Wait() // says that it was killed
	return nil
}

// Start starts the command on the host. It is a child of this process all the
// same.
func (h *Host) Start(cmd *exec.Cmd) error {
	return h.within(unix.CLONE_NEWNS|unix.CLONE_NEWNET|unix.CLONE_NEWUTS|unix.CLONE_NEWIPC|unix.CLONE_NEWPID, cmd.Start)
}

// DialContext connects from the host to an address without names: names are
// looked up elsewhere.
func (h *Host) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("dial %s from host %s: %q is no IP address", address, h.Name, host)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("dial %s from host %s: %w", address, h.Name, err)
	}
	err = h.within(unix.CLONE_NEWNET, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// within calls f on a thread that has entered the host's namespaces of kinds.
func (h *Host) within(kinds int, f func() error) error {
	if len(h.namespaces) == 0 {
		return fmt.Errorf("host %s is off", h.Name)
	}
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nothing else
		// runs in the namespaces by mistake.
		runtime.LockOSThread()
		done <- h.enter(kinds, f)
	}()
	return <-done
}

func (h *Host) enter(kinds int, f func() error) error {
	// Threads share root and working directory, which a mount namespace forbids.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("enter host %s: %w", h.Name, err)
	}
	for _, ns := range h.namespaces {
		if kinds&ns.kind == 0 {
			continue
		}
		if err := unix.Setns(int(ns.file.Fd()), ns.kind); err != nil {
			return fmt.Errorf("enter host %s: %s: %w", h.Name, ns.file.Name(), err)
		}
	}
	return f()
}

// runHost is process 1 of a host. It does nothing but reap, until it is killed.
func runHost() error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGCHLD)
	if err := unix.Sethostname([]byte(os.Getenv(hostNameVar))); err != nil {
		return fmt.Errorf("set the host's name: %w", err)
	}
	binds := map[string]string{StateDir: StateDir, BinDir: BinDir, "/var": os.Getenv(hostVarVar)}
	// Shared: kubelet wants volumes to propagate into containers that ask so.
	if err := mountRoot(unix.MS_SHARED, binds); err != nil {
		return err
	}
	if err := linkUp("lo"); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	ready := os.NewFile(3, "ready")
	if _, err := ready.Write([]byte{1}); err != nil {
		return err
	}
	ready.Close()
	for range signals {
		reap(0)
	}
	return nil
}
