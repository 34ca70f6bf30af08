package ring_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// TestKilledProcesses kills processes (kill -9) that append to one directory
// on the real file system, one after the other, and never lets any close it.
// Each says what it appended once that is acknowledged; the next one, before
// it goes on, must find all of it: with the slot that was in flight, or
// without. With ROLLCALL_SOAK set, it kills some thousands.
//
// The processes are this test, once more: see killed.
func TestKilledProcesses(t *testing.T) {
	if dir := os.Getenv(killedDir); dir != "" {
		killed(dir)
	}
	kills := 60
	if soakTime(t) > 0 {
		kills = 3000
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 6))
	acked, inOpen := 0, 0
	for i := range kills {
		// Killed while it opens, or after some appends: over several blocks,
		// of five slots each.
		appends := max(-1, rng.IntN(30)-4)
		if appends < 0 {
			inOpen++
		}
		acked = killOne(t, dir, acked, appends, rng)
		if t.Failed() {
			t.Fatalf("at kill %d", i)
		}
	}
	r := quiet(killedConfig(dir))
	defer func() { _ = r.Close() }()
	n, err := findsAll(r, acked)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d processes killed, %d of them while they opened; %d slots; %d bytes on disk", kills, inOpen, n, r.Status().DiskBytes)
}

const (
	killedDir   = "ROLLCALL_TEST_KILLED_DIR"
	killedAcked = "ROLLCALL_TEST_KILLED_ACKED"
)

func killedConfig(dir string) ring.Config {
	return ring.Config{Dir: dir, Resolution: seconds(180), Retention: seconds(4 * 3600), Tune: small}
}

// killed is what a process does until it is killed. When the one that should
// kill it is gone, the pipe breaks and it ends, too.
func killed(dir string) {
	fail := func(err error) {
		fmt.Printf("failed %v\n", err)
		os.Exit(1)
	}
	acked, err := strconv.Atoi(os.Getenv(killedAcked))
	if err != nil {
		fail(err)
	}
	fmt.Println("opening")
	r := quiet(killedConfig(dir))
	n, err := findsAll(r, acked)
	if err != nil {
		fail(err)
	}
	fmt.Printf("found %d\n", n)
	for ; ; n++ {
		w := killedWrite(n)
		if err := r.Append(w.slot, w.scrape); err != nil {
			fail(err)
		}
		fmt.Printf("acked %d\n", n+1)
	}
}

// killOne lets one process go on after so many slots, and kills it after so
// many appends (if negative, while it opens). It returns how many slots were
// acknowledged by then.
func killOne(t *testing.T, dir string, acked, appends int, rng *rand.Rand) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestKilledProcesses$", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), killedDir+"="+dir, fmt.Sprintf("%s=%d", killedAcked, acked))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill() }
	defer func() {
		kill()
		_ = cmd.Wait()
	}()

	lines := bufio.NewReader(out)
	last, seen := acked, 0
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return last // killed: what came before was acknowledged
		}
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "opening":
			if appends < 0 {
				spin(time.Duration(rng.IntN(40)) * time.Millisecond)
				kill()
			}
			continue
		case "found", "acked":
		default:
			line += readRest(lines)
			_ = cmd.Wait() // stderr is complete
			t.Errorf("%s%s", line, stderr.String())
			return last
		}
		if last, err = strconv.Atoi(rest); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if seen++; seen > appends {
			spin(time.Duration(rng.IntN(4000)) * time.Microsecond)
			kill()
		}
	}
}

// spin does nothing for so long: the process goes on by a part of an append.
func spin(d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
	}
}

func readRest(r *bufio.Reader) string {
	var b strings.Builder
	_, _ = r.WriteTo(&b)
	return b.String()
}

// findsAll checks that of the slots that are appended one after the other the
// ring has all that were acknowledged, perhaps one more, and returns how many.
func findsAll(r *ring.Ring, acked int) (n int, err error) {
	if s := r.Status(); s.State != "disk" {
		return 0, fmt.Errorf("status %+v", s)
	}
	h := history{retention: killedConfig("").Retention}
	for i := range acked + 1 {
		h.writes = append(h.writes, killedWrite(i))
	}
	for n = acked + 1; n >= acked; n-- {
		h.writes = h.writes[:n]
		if err = h.checkAll(r); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%d slots were acknowledged: %w", acked, err)
}

// killedWrite is the nth slot: all of it follows from n. Pods live for 40
// slots, every fifth slot begins one.
func killedWrite(n int) write {
	slot := int64(base) + 180*int64(n)
	s := &model.Scrape{Groups: []model.Group{{Samples: []model.Sample{killedSample("", slot)}}}}
	for pod := n / 5; pod > n/5-8; pod-- {
		s.Groups = append(s.Groups, model.Group{
			Pod:     model.PodRef{Namespace: "ns", Name: fmt.Sprintf("pod-%06d", 1e6-pod), UID: fmt.Sprint("uid-", pod)},
			Samples: []model.Sample{killedSample("", slot+int64(pod)), killedSample("app", slot-int64(pod))},
		})
	}
	return write{slot, 180, s}
}

func killedSample(name string, seed int64) model.Sample {
	s := model.Sample{Name: name, Start: base}
	rng := rand.New(rand.NewPCG(uint64(seed), 7))
	for m := range model.CPUWindow { // those that are stored
		if rng.IntN(4) > 0 {
			s.Set(m, rng.Uint64()>>rng.IntN(64))
		}
	}
	return s
}
