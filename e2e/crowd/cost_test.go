package crowd_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/e2e/crowd"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// measuredEnv makes the test binary be the measured process: the address to
	// join, the number of members to wait for and the file with the key.
	measuredEnv = "ROLLCALL_CROWD_MEASURED"
	// idle is how long CPU is measured.
	idle = 30 * time.Second
)

// TestCost measures one real member, alone in a process, among as many as
// ROLLCALL_CROWD says and among one, with DefaultTiming, a key and a label:
//
//	ROLLCALL_CROWD=5000 go test -run Cost -count=1 -timeout 0 -v ./e2e/crowd
//
// It takes five minutes, most of which the member passes on what it heard
// when it joined.
func TestCost(t *testing.T) {
	text := os.Getenv("ROLLCALL_CROWD")
	if text == "" {
		t.Skip("measures for minutes; set ROLLCALL_CROWD to the number of members")
	}
	most, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, most} {
		t.Run(strconv.Itoa(n), func(t *testing.T) { cost(t, n) })
	}
}

func cost(t *testing.T, n int) {
	file, bytes := key(t)
	c := start(t, crowd.Config{Members: n, Aggregators: 1, Label: "test", Key: bytes, Timing: roster.DefaultTiming()})
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), measuredEnv+"="+fmt.Sprint(c.Seed(), " ", n+1, " ", file))
	child.Stderr = os.Stderr
	in, inErr := child.StdinPipe()
	out, outErr := child.StdoutPipe()
	if inErr != nil || outErr != nil {
		t.Fatal(inErr, outErr)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func(ask string) string {
		_, _ = io.WriteString(in, ask)
		if !lines.Scan() {
			t.Fatal("the measured process ended: ", lines.Err())
		}
		return lines.Text()
	}
	t.Log("before joining: ", next(""))
	t.Log("all seen:       ", next(""))
	// Its first gossip: it passes on everyone it has heard of.
	began := time.Now()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for last := uint64(0); ; {
		<-tick.C
		now := c.Counts().Gossip
		if now == last {
			break
		}
		last = now
	}
	t.Logf("gossip quiet after %v, %d messages", time.Since(began).Round(time.Second), c.Counts().Gossip)
	t.Log("as it is:       ", next("now\n"))
	before, own := c.Counts(), cpuTime()
	<-time.After(idle)
	t.Log("idle for 30 s:  ", next("now\n"))
	t.Log("after GC:       ", next("gc\n"))
	t.Logf("crowd: %.3f %% of a core, %+v, before %+v", 100*(cpuTime()-own).Seconds()/idle.Seconds(), c.Counts(), before)
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}

// measured is the process that is measured. It reports when it has started, when
// it sees all, and then for each line of its input; it ends with the input.
func measured(join string) int {
	var seed, file string
	var members int
	if _, err := fmt.Sscan(join, &seed, &members, &file); err != nil {
		panic(err)
	}
	timing := roster.DefaultTiming()
	timing.StartJitter, timing.JoinJitter = 0, 0
	s := begin()
	s.report()
	r, err := roster.Start(context.Background(), roster.Config{
		Name: "node-1", Role: identity.Agent,
		Bind: netip.AddrFrom4([4]byte{127, 79, 0, 1}), Port: guestPort, PeerPort: 9810,
		Label: "test", KeyFile: file, Join: []string{seed}, Timing: timing,
	}, testLog(), prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	for {
		changed := r.Changed()
		if len(r.Snapshot().Members()) == members {
			break
		}
		<-changed
	}
	s.report()
	s = begin()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); s = begin() {
		if lines.Text() == "gc" {
			debug.FreeOSMemory()
		}
		s.report()
	}
	_ = r.Kill()
	return 0
}

// span is a time in which CPU is used.
type span struct {
	began time.Time
	cpu   time.Duration
}

func begin() span { return span{time.Now(), cpuTime()} }

// report prints the memory of this process, and the time and CPU of the span.
func (s span) report() {
	passed, used := time.Since(s.began), cpuTime()-s.cpu
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "VmHWM", "VmRSS", "RssAnon": // at most so far, now, and now without the binary
			fmt.Print(name, " ", strings.TrimSpace(value), ", ")
		}
	}
	fmt.Printf("heap %d kB, in %v %v of CPU, %.3f %% of a core\n",
		mem.HeapAlloc>>10, passed.Round(time.Millisecond), used.Round(time.Microsecond), 100*used.Seconds()/passed.Seconds())
}

// cpuTime is the CPU time of this process so far, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
