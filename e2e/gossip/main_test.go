package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

// TestMain waits longer for leaks to go than goleak does: probes and suspicions
// of memberlist end by their timeouts, some after Shutdown.
func TestMain(m *testing.M) {
	code := m.Run()
	deadline := time.Now().Add(time.Minute)
	err := goleak.Find()
	for err != nil && time.Now().Before(deadline) {
		err = goleak.Find() // takes a moment
	}
	if err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// testLog is silent unless ROLLCALL_TEST_LOG is set.
func testLog() *slog.Logger {
	if os.Getenv("ROLLCALL_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// fleets numbers the fleets of this process.
var fleets atomic.Uint32

// start starts a fleet with a key, which is closed at the end of the test.
func start(t *testing.T, cfg Config) *Fleet {
	t.Helper()
	// By process, too, for tests that run in two at the same time; each fleet has
	// room for 8192 starts.
	cfg.First = netip.AddrFrom4([4]byte{127, byte(128 + os.Getpid()%100), byte(32 * (fleets.Add(1) % 8)), 1})
	cfg.KeyFile, cfg.Log = filepath.Join(t.TempDir(), "key"), testLog()
	if err := identitytest.WriteGossipKey(cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	f, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// await polls until ok, and returns how long that took.
func await(t *testing.T, patience time.Duration, what string, ok func() (bool, string)) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		asked := time.Now()
		is, why := ok()
		if is {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("not within %v: %s: %s", patience, what, why)
		}
		// To ask takes CPU from those who are asked.
		<-time.After(max(50*time.Millisecond, 20*time.Since(asked)))
	}
}

// rolling restarts all agents, a tenth at a time, and calls next when a tenth is
// up again. It kills every nth of them, 0 for none.
func rolling(t *testing.T, f *Fleet, down time.Duration, nth int, next func()) {
	t.Helper()
	agents := f.Agents()
	for i := range 10 {
		first := i * len(agents) / 10
		killed := func(j int) bool { return nth > 0 && (first+j)%nth == 0 }
		if err := f.Restart(t.Context(), agents[first:(i+1)*len(agents)/10], killed, down); err != nil {
			t.Fatal(err)
		}
		next()
	}
}

// watched is what a Watch saw during do.
func watched(t *testing.T, f *Fleet, every time.Duration, do func()) Seen {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen Seen
	var watch sync.WaitGroup
	watch.Go(func() { seen = f.Watch(ctx, every, enough) })
	do()
	cancel()
	watch.Wait()
	return seen
}

// enough is the share of agents that each aggregator should find, and slot how
// long it may find fewer.
const (
	enough = .98
	slot   = 15 * time.Second
)
