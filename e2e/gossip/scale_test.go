package gossip

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// TestScale measures as many members as two cores bear with the timing that they
// have in a cluster, and more with all intervals stretched. ROLLCALL_SCALE may
// name other sizes: 150x1,1000x10 are 150 in real time and 1000 stretched tenfold.
func TestScale(t *testing.T) {
	sizes := os.Getenv("ROLLCALL_SCALE")
	switch sizes {
	case "":
		t.Skip("takes two hours; set ROLLCALL_SCALE=1")
	case "1":
		sizes = "300x1,1000x10"
	}
	for size := range strings.SplitSeq(sizes, ",") {
		var members, stretch int
		if _, err := fmt.Sscanf(size, "%dx%d", &members, &stretch); err != nil || members < 20 || stretch < 1 {
			t.Fatalf("ROLLCALL_SCALE: %q is not members, x, and how much to stretch", size)
		}
		t.Run(size, func(t *testing.T) { scale(t, members, time.Duration(stretch)) })
	}
}

// scale takes a fleet of two aggregators through its life. Times are logged as
// they would be without the stretch.
func scale(t *testing.T, members int, stretch time.Duration) {
	// Each packet received is 64 KiB of garbage, and here the heap that is scanned
	// for it is that of all members.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	before := heap()
	began, cpu := time.Now(), meter.CPU()
	f := start(t, Config{
		Agents: members - 2, Aggregators: 2, Timing: Stretch(roster.DefaultTiming(), int(stretch)),
		Every: 30 * time.Second * stretch / time.Duration(members), // as they start in a cluster
	})
	t.Logf("start: over %v", (time.Since(began) / stretch).Round(100*time.Millisecond))
	took := await(t, 300*time.Second*stretch, "the aggregators know all", f.AggregatorsKnow)
	t.Logf("the aggregators know all after another %v", (took / stretch).Round(100*time.Millisecond))
	took = await(t, 300*time.Second*stretch, "all know all", f.AllKnow)
	t.Logf("all know all after another %v, %.2f s of CPU", (took / stretch).Round(100*time.Millisecond), (meter.CPU() - cpu).Seconds())
	quiet(t, f, stretch)
	t.Logf("memory: %.2f MiB a member", (heap()-before)/float64(members))
	idle(t, f, members, stretch)

	for _, nth := range []int{0, 50} {
		cpu = meter.CPU()
		seen := watched(t, f, 250*time.Millisecond*stretch, func() {
			rolling(t, f, 2*time.Second*stretch, nth, func() { <-time.After(6 * time.Second * stretch) })
		})
		seen.Below /= stretch
		t.Logf("rolling restart, killed one of %d: %v, %.2f s of CPU", nth, seen, (meter.CPU() - cpu).Seconds())
		took = await(t, 300*time.Second*stretch, "the aggregators know all", f.AggregatorsKnow)
		t.Logf("the aggregators know all %v later; of the others, the one who knows least finds %s", (took / stretch).Round(100*time.Millisecond), least(f))
		if seen.Below > slot {
			t.Errorf("rolling restart: %v", seen)
		}
		quiet(t, f, stretch)
	}
	for _, p := range []struct {
		name  string
		sides [2][]*Member
	}{{"halves", halves(f)}, {"a zone without aggregator", zone(f)}} {
		t.Run(p.name, func(t *testing.T) { partition(t, f, p.sides, stretch) })
		quiet(t, f, stretch)
	}
}

// partition cuts the fleet into two until they have given each other up, and
// tells how long they take to find each other.
func partition(t *testing.T, f *Fleet, sides [2][]*Member, stretch time.Duration) {
	patience := 600 * time.Second * stretch
	cut(f, sides[0])
	took := await(t, patience, "the sides give each other up", func() (bool, string) { return apart(sides) })
	t.Logf("the sides have given each other up after %v", (took / stretch).Round(100*time.Millisecond))
	// Until nobody sends gossip to the dead any more.
	<-time.After(60 * time.Second * stretch)
	before, cpu := f.Traffic.Volume(), meter.CPU()
	f.Network.Heal()
	began := time.Now()
	await(t, patience, "the aggregators know all", f.AggregatorsKnow)
	aggregators := time.Since(began)
	await(t, patience, "all know all", f.AllKnow)
	took = time.Since(began)
	t.Logf("healed: the aggregators know all after %v, all know all after %v, %.2f s of CPU, %+v", (aggregators / stretch).Round(100*time.Millisecond),
		(took / stretch).Round(100*time.Millisecond), (meter.CPU() - cpu).Seconds(), f.Traffic.Volume().Since(before))
	if aggregators > time.Minute*stretch {
		t.Errorf("the sides took %v to find each other", aggregators/stretch)
	}
}

// quiet waits until nearly all that is sent are probes: two packets in each
// ProbeInterval of a member.
func quiet(t *testing.T, f *Fleet, stretch time.Duration) {
	t.Helper()
	const look = 2 * time.Second
	tick := time.NewTicker(look * stretch)
	defer tick.Stop()
	last := f.Traffic.Volume()
	for began := time.Now(); ; {
		<-tick.C
		now := f.Traffic.Volume()
		passed, packets := time.Since(began)/stretch, now.Since(last).Packets
		last = now
		if packets < uint64(3*len(f.all())) {
			t.Logf("gossip quiet after another %v", passed.Round(time.Second))
			return
		}
		if passed > 10*time.Minute {
			t.Fatalf("gossip is not quiet: %d packets in %v", packets, look)
		}
	}
}

// idle measures a member with nothing to tell.
func idle(t *testing.T, f *Fleet, members int, stretch time.Duration) {
	t.Helper()
	const long = 30 * time.Second
	before, cpu := f.Traffic.Volume(), meter.CPU()
	<-time.After(long * stretch)
	sent, used := f.Traffic.Volume().Since(before), meter.CPU()-cpu
	each := long.Seconds() * float64(members)
	t.Logf("idle: %.3f %% of a core a member; packets %.2f/s with %.0f B/s, streams %.4f/s with %.0f B/s", 100*used.Seconds()/each,
		float64(sent.Packets)/each, float64(sent.PacketBytes)/each, float64(sent.Streams)/each, float64(sent.StreamBytes)/each)
}

// least is how many the member that finds fewest finds.
func least(f *Fleet) string {
	fewest, of := len(f.all()), 0
	for _, m := range f.Agents() {
		var found int
		found, of = m.Finds(f.all())
		fewest = min(fewest, found)
	}
	return fmt.Sprintf("%d of %d", fewest, of)
}

// heap is how much is in use, in MiB.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc+m.StackInuse) / (1 << 20)
}
