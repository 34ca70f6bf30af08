package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asProgram makes the test binary the program that runs in a sandbox; its value
// is what the work should do.
const asProgram = "ROLLCALL_SANDBOX_TEST"

// patience is far more than anything takes, for machines that are busy.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	work := os.Getenv(asProgram)
	if work == "" {
		os.Exit(m.Run())
	}
	os.Exit(Run(Program{
		Prepare: func(_ context.Context, out *Outside) error {
			out.BinDir, out.KeepLogs = out.Dir, filepath.Join(out.Dir, "logs")
			return nil
		},
		Work: func() int { return doWork(work) },
	}))
}

// A report is what the work tells the test.
type report struct {
	// ID is in the command line of all processes of the work's.
	ID, Dir, Cgroup string
	PID             int
	HostName, Var   string
}

// doWork starts a host with a process in a cgroup, tells of it, and exits with
// code 7 or waits.
func doWork(what string) int {
	r, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return 1
	}
	if what == "exit" {
		return 7
	}
	select {}
}

func start() (*report, error) {
	r := &report{Dir: OuterDir(), ID: filepath.Base(OuterDir()), PID: os.Getpid()}
	for _, dir := range []string{"var/lib", "logs"} {
		if err := os.MkdirAll(filepath.Join(StateDir, dir), 0o755); err != nil {
			return nil, err
		}
	}
	h, err := StartHost("one", filepath.Join(StateDir, "var"))
	if err != nil {
		return nil, err
	}
	if r.Cgroup, err = MakeCgroup("one"); err != nil {
		return nil, err
	}
	// An orphan with a mount on the host, in a session of its own.
	cmd := exec.Command("sh", "-c", `hostname; ls /var; mount -t tmpfs tmpfs /var/lib
		setsid sh -c 'while sleep 1000; do :; done' `+r.ID+` </dev/null >/dev/null 2>&1 & echo started`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.Start(cmd); err != nil {
		return nil, err
	}
	said, err := io.ReadAll(out)
	if err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, err
	}
	lines := strings.Fields(string(said))
	if len(lines) != 3 {
		return nil, fmt.Errorf("the host said %q", said)
	}
	r.HostName, r.Var = lines[0], lines[1]
	return r, nil
}

// run runs the test binary as the program.
func run(t *testing.T, temp, work string) (*exec.Cmd, *report) {
	t.Helper()
	if err := Possible(); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asProgram+"="+work, "TMPDIR="+temp)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Not killed: no other run would remove the cgroups.
		_ = cmd.Process.Signal(unix.SIGTERM) // it may have ended
		_ = cmd.Wait()                       // so may that
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	r := &report{}
	if err := json.Unmarshal(line, r); err != nil {
		t.Fatal(err)
	}
	if r.HostName != "one" || r.Var != "lib" {
		t.Errorf("the host's name is %s, /var has %s", r.HostName, r.Var)
	}
	return cmd, r
}

// eventually waits until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// processes are those with the id in their command line.
func processes(t *testing.T, id string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(line), id) {
			found = append(found, f)
		}
	}
	return found
}

func cgroups(t *testing.T, id string) []string {
	t.Helper()
	found, err := filepath.Glob("/sys/fs/cgroup/*/" + CgroupName(id))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/sys/fs/cgroup/" + CgroupName(id)); err == nil {
		found = append(found, "/sys/fs/cgroup/"+CgroupName(id))
	}
	return found
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, os.ErrNotExist)
}

func TestExitCodeAndLogs(t *testing.T) {
	cmd, r := run(t, t.TempDir(), "exit")
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("got %v, want exit status 7", err)
	}
	if p := processes(t, r.ID); len(p) > 0 {
		t.Errorf("left: %v", p)
	}
	if c := cgroups(t, r.ID); len(c) > 0 {
		t.Errorf("left: %v", c)
	}
	if missing(r.Dir+"/logs") || !missing(r.Dir+"/var") {
		t.Error("the logs of a run that failed should be left, and nothing else")
	}
}

func TestSignal(t *testing.T) {
	cmd, r := run(t, t.TempDir(), "wait")
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(unix.SIGTERM) {
		t.Errorf("got %v, want exit status 143", err)
	}
	if p := processes(t, r.ID); len(p) > 0 {
		t.Errorf("left: %v", p)
	}
}

func TestKilled(t *testing.T) {
	temp := t.TempDir()
	cmd, r := run(t, temp, "wait")
	_, beside := run(t, temp, "wait")
	if p := processes(t, r.ID); len(p) == 0 {
		t.Error("no process has the id in its command line")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	eventually(t, "all processes end", func() bool { return len(processes(t, r.ID)) == 0 })
	if missing(r.Dir) || len(cgroups(t, r.ID)) == 0 {
		t.Error("there is nothing for the next run to remove")
	}

	run(t, temp, "wait")
	if c := cgroups(t, r.ID); len(c) > 0 || !missing(r.Dir) {
		t.Errorf("the next run has left %v, or %s", c, r.Dir)
	}
	if missing(beside.Dir) || len(cgroups(t, beside.ID)) == 0 || len(processes(t, beside.ID)) == 0 {
		t.Error("the next run has removed one that lives")
	}
}
