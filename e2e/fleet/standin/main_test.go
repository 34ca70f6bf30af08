package standin

import (
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// trace is loaded once for all tests, as New does without one: that takes
// seconds under the race detector.
var trace = sync.OnceValues(func() (*Trace, error) {
	k, err := New(Config{Node: "loader", Resolution: time.Second, Token: testToken})
	if err != nil {
		return nil, err
	}
	return k.stage.reel.trace, nil
})

// noon is some slot of the recorded day, far from any boot of a node.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const testToken = "let-me-in"

// newKubelet is node-1 with 55 pods and slots of 15 s, if change does not say
// otherwise, at noon.
func newKubelet(tb testing.TB, change func(*Config)) *Kubelet {
	tb.Helper()
	shared, err := trace()
	if err != nil {
		tb.Fatal(err)
	}
	cfg := Config{Node: "node-1", Seed: 1, Resolution: 15 * time.Second, Token: testToken, Trace: shared}
	if change != nil {
		change(&cfg)
	}
	k, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(k.Close)
	k.SetClock(func() time.Time { return noon })
	return k
}

// turnAt is the turn of a time.
func (k *Kubelet) turnAt(t time.Time) int64 { return t.Unix() / k.resolution }

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
