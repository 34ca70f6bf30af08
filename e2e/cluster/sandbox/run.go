package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// roleVar tells a process of ours its role; it is not passed on to what the
// work starts.
const roleVar = "ROLLCALL_SANDBOX"

const (
	roleInit = "init"
	roleWork = "work"
	roleHost = "host"
)

// Where things are inside, for the work and on hosts alike.
const (
	// StateDir is the state directory.
	StateDir = "/run/rollcall/state"
	// BinDir is [Outside.BinDir].
	BinDir = "/run/rollcall/bin"
)

// What StateDir and BinDir are called outside.
const (
	dirVar = "ROLLCALL_SANDBOX_DIR"
	binVar = "ROLLCALL_SANDBOX_BIN"
)

// exitFailed is the exit code if the sandbox fails, rather than the work in it.
const exitFailed = 1

// A Program is what runs in a sandbox.
type Program struct {
	// Prepare runs outside, before the sandbox is entered, and has the network.
	Prepare func(ctx context.Context, out *Outside) error
	// Work runs inside and returns the exit code. Prepare's error is returned
	// instead of it.
	Work func() int
}

// An Outside is what Prepare fills in.
type Outside struct {
	// Dir is the state directory: it is the run's alone and is removed at its
	// end. Inside it is StateDir.
	Dir string
	// BinDir is a directory that is BinDir inside. Required.
	BinDir string
	// Forward are ports of 127.0.0.1 that lead to Unix sockets in Dir, on which
	// the work listens: socket name to listener. Run closes them.
	Forward map[string]*Forward
	// KeepLogs is a directory in Dir that outlives a run that failed, until the
	// next run. "" keeps nothing.
	KeepLogs string
}

// Run runs the program in a sandbox and returns its exit code. It has to be
// called by the main goroutine, before anything that should not be done in each
// of the roles. SIGINT and SIGTERM end Prepare, and are passed on to the work.
func Run(p Program) int {
	var err error
	code := 0
	switch role := os.Getenv(roleVar); role {
	case "":
		code, err = runOutside(p)
	case roleInit:
		code, err = runInit()
	case roleHost:
		err = runHost()
	case roleWork:
		os.Unsetenv(roleVar)
		// Threads that enter a host's namespaces end there. The first thread
		// cannot end, and /proc/self shows its namespaces: it does nothing else
		// than this goroutine.
		runtime.LockOSThread()
		return p.Work()
	default:
		err = fmt.Errorf("%s is %q", roleVar, role)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "sandbox: %v\n", err)
		code = max(code, exitFailed)
	}
	return code
}

// Inside says whether the process is in a sandbox: it is false in a test whose
// TestMain did without one.
func Inside() bool { return os.Getenv(dirVar) != "" && os.Getenv(roleVar) == "" }

// OuterDir is the state directory as it is called outside.
func OuterDir() string { return os.Getenv(dirVar) }

// OuterBinDir is [BinDir] as it is called outside.
func OuterBinDir() string { return os.Getenv(binVar) }

func runOutside(p Program) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	defer signal.Stop(signals)
	prepared := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel()
		case <-prepared:
		}
	}()

	st, err := newState()
	if err != nil {
		return 0, err
	}
	out := &Outside{Dir: st.dir, Forward: map[string]*Forward{}}
	defer func() {
		kept, cerr := st.close(code != 0 && err == nil, out.KeepLogs)
		if kept != "" {
			fmt.Fprintf(os.Stderr, "logs are kept until the next run: %s\n", kept)
		}
		err = errors.Join(err, cerr)
	}()
	defer func() {
		for _, f := range out.Forward {
			f.Close()
		}
	}()
	err = p.Prepare(ctx, out)
	close(prepared)
	if ctx.Err() != nil {
		return exitFailed, errors.New("interrupted")
	}
	if err != nil {
		return 0, err
	}
	for socket, f := range out.Forward {
		f.start(st.dir + "/" + socket)
	}
	return enter(out, signals)
}

// enter starts init in its namespaces and waits for it.
func enter(out *Outside, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), roleVar+"="+roleInit, dirVar+"="+out.Dir, binVar+"="+out.BinDir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
		Pdeathsig:  unix.SIGKILL,
		// Without a terminal: Ctrl-C there is for this process, which passes it
		// on to the work; etcd would take it at its word.
		Setsid: true,
	}
	started, done := make(chan error, 1), make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when this thread ends, not the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return 0, fmt.Errorf("start a process in new namespaces: %w", err)
	}
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it may have ended
		case err := <-done:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return 0, fmt.Errorf("wait for the sandbox: %w", err)
			}
			return exitCode(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
		}
	}
}

// exitCode is a status as a shell has it.
func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
