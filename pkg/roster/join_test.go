package roster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// joins records what a joiner does, in a synctest bubble.
type joins struct {
	*joiner
	logged bytes.Buffer

	mu    sync.Mutex
	began time.Time
	addrs []string
	at    []time.Duration
	err   error
	found func() // what a join that works brings
}

// newJoins makes an agent with the default timing but no jitter, unless
// changed. Its own address is 10.0.0.1.
func newJoins(change func(*joiner)) *joins {
	js := &joins{began: time.Now()}
	timing := DefaultTiming()
	timing.StartJitter, timing.JoinJitter = 0, 0
	j := &joiner{
		cfg:     Config{Name: "node-0", Role: identity.Agent, Bind: netip.MustParseAddr("10.0.0.1"), Port: 7946, Join: []string{"10.0.0.9"}},
		timing:  timing,
		table:   newTestTable(),
		metrics: newMetrics(prometheus.NewRegistry()),
		log:     slog.New(slog.NewTextHandler(&js.logged, nil)),
	}
	j.join = func(addr string) (int, error) {
		js.mu.Lock()
		defer js.mu.Unlock()
		js.addrs = append(js.addrs, addr)
		js.at = append(js.at, time.Since(js.began))
		if js.err != nil {
			return 0, js.err
		}
		if js.found != nil {
			js.found()
		}
		return 1, nil
	}
	if change != nil {
		change(j)
	}
	js.joiner = j
	js.found = func() { js.aggregator("10.0.0.9", true) }
	return js
}

// aggregator comes or goes.
func (js *joins) aggregator(addr string, here bool) {
	n := nodeOf("aggregator/"+strings.ReplaceAll(addr, ".", "-"), addr, meta{role: identity.Aggregator})
	n.Port = 7946
	if here {
		js.table.NotifyJoin(n)
	} else {
		js.table.NotifyLeave(n)
	}
}

func (js *joins) setErr(err error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.err = err
}

// seconds are the times of the joins so far, which are then forgotten.
func (js *joins) seconds() string {
	synctest.Wait()
	js.mu.Lock()
	defer js.mu.Unlock()
	text := fmt.Sprint(js.at)
	js.at, js.addrs = nil, nil
	return text
}

func TestAgentJoinsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := newJoins(nil)
		go js.run(t.Context())
		time.Sleep(time.Hour)
		if got := js.seconds(); got != "[0s]" || !js.reached.Load() {
			t.Errorf("joins at %s", got)
		}
	})
}

func TestAgentWaitsForItsJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := newJoins(func(j *joiner) { j.timing.StartJitter = 2 * time.Second })
		go js.run(t.Context())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if js.mu.Lock(); len(js.at) != 1 || js.at[0] == 0 {
			t.Errorf("joins at %v", js.at)
		}
		js.mu.Unlock()
	})
}

func TestRefusedAgentWaitsForItsJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := newJoins(func(j *joiner) { j.timing.JoinJitter = 30 * time.Second })
		js.err = errors.New("busy")
		go js.run(t.Context())
		time.Sleep(30 * time.Second)
		synctest.Wait()
		js.mu.Lock()
		defer js.mu.Unlock()
		// The next would be 5 s after the second.
		if len(js.at) < 2 || js.at[0] != 0 || js.at[1] == 0 || len(js.at) > 2 && js.at[2] != js.at[1]+5*time.Second {
			t.Errorf("joins at %v", js.at)
		}
	})
}

func TestAgentTriesUntilItIsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := newJoins(nil)
		js.err = errors.New("refused")
		go js.run(t.Context())
		time.Sleep(3 * time.Minute)
		if got := js.seconds(); got != "[0s 5s 10s 20s 40s 1m0s 2m0s 2m30s 3m0s]" || js.reached.Load() {
			t.Errorf("joins at %s", got)
		}
		if s := js.logged.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "not joined") {
			t.Errorf("logged:\n%s", s)
		}
		js.mu.Lock()
		js.err = nil
		js.mu.Unlock()
		time.Sleep(time.Hour)
		if got := js.seconds(); got != "[3m30s]" || !js.reached.Load() {
			t.Errorf("joins at %s", got)
		}
		if s := js.logged.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "roster joined") {
			t.Errorf("logged:\n%s", s)
		}
	})
}

func TestAgentWithoutAggregatorsJoinsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := newJoins(nil)
		go js.run(t.Context())
		time.Sleep(time.Hour + time.Second) // between two looks
		js.aggregator("10.0.0.9", false)
		time.Sleep(50 * time.Second)
		if got := js.seconds(); got != "[0s]" {
			t.Errorf("joins at %s", got)
		}
		time.Sleep(25 * time.Second)
		if got := js.seconds(); got != "[1h1m0s]" {
			t.Errorf("joins at %s", got)
		}
	})
}

func TestSeeds(t *testing.T) {
	many := func(n byte) (addrs []netip.Addr) {
		for i := range n {
			addrs = append(addrs, netip.AddrFrom4([4]byte{10, 0, 1, i}))
		}
		return addrs
	}
	own := netip.MustParseAddr("10.0.0.1")
	tests := map[string]struct {
		role    identity.Role
		found   []netip.Addr
		err     error // of the joins
		want    int
		reached bool
	}{
		"agent, one of many":           {identity.Agent, many(9), nil, 1, true},
		"agent, three if they fail":    {identity.Agent, many(9), errors.New("x"), 3, false},
		"agent, never itself":          {identity.Agent, append(many(1), own), nil, 1, true},
		"aggregator, at most three":    {identity.Aggregator, many(9), nil, 3, true},
		"aggregator, each once":        {identity.Aggregator, append(many(2), many(2)...), nil, 2, true},
		"aggregator, the first":        {identity.Aggregator, []netip.Addr{own}, nil, 0, true},
		"aggregator, mapped addresses": {identity.Aggregator, []netip.Addr{netip.AddrFrom16(own.As16())}, nil, 0, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			js := newJoins(func(j *joiner) {
				j.cfg.Role = tt.role
				j.cfg.Join = []string{"seeds.example"}
				j.cfg.Resolve = func(context.Context, string) ([]netip.Addr, error) { return tt.found, nil }
			})
			js.err = tt.err
			js.joinSeeds(t.Context(), nil)
			if len(js.addrs) != tt.want || js.reached.Load() != tt.reached {
				t.Errorf("joined %v, reached %v", js.addrs, js.reached.Load())
			}
			for _, addr := range js.addrs {
				if !strings.HasPrefix(addr, "10.0.1.") || !strings.HasSuffix(addr, ":7946") {
					t.Errorf("joined %s", addr)
				}
			}
		})
	}
}

func TestAggregatorHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := newJoins(func(j *joiner) {
			j.cfg.Role = identity.Aggregator
			j.cfg.Join = []string{"10.0.0.1", "10.0.0.8", "10.0.0.9:7946"}
			j.cfg.Missing = func() []string {
				return []string{"10.0.2.1", "10.0.2.2:99", "10.0.2.3", "10.0.2.4", "10.0.2.5", "10.0.2.6", "10.0.2.7"}
			}
		})
		js.found = nil
		js.aggregator("10.0.0.9", true)
		js.heal(t.Context())
		seeds, missing := 0, 0
		for _, addr := range js.addrs {
			switch {
			case addr == "10.0.0.8:7946":
				seeds++
			case strings.HasPrefix(addr, "10.0.2."):
				missing++
			default:
				t.Errorf("joined %s", addr)
			}
		}
		if seeds != 1 || missing != 5 {
			t.Errorf("joined %v", js.addrs)
		}
	})
}

// Aggregators that know each other exchange what they know, for as long as it
// changes.
func TestAggregatorsExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := newJoins(func(j *joiner) {
			j.cfg.Role = identity.Aggregator
			j.timing.Rejoin = nil
		})
		js.found = nil
		js.aggregator("10.0.0.9", true)
		go js.run(t.Context())
		time.Sleep(time.Second) // so that steps are between two looks
		agent := func() { js.table.NotifyJoin(nodeOf("node-7", "10.0.0.7", agentMeta(false))) }
		for _, step := range []struct {
			what string
			do   func()
			want string
		}{
			{"the first join, and an exchange", func() {}, "[0s 5s]"},
			{"nothing", func() {}, "[]"},
			{"an agent", agent, "[2m5s]"},
			{"failing", func() { js.setErr(errors.New("refused")); agent() }, "[3m5s 3m10s 3m15s 3m20s 3m25s 3m30s 3m35s 3m40s 3m45s 3m50s 3m55s 4m0s]"},
			{"working", func() { js.setErr(nil) }, "[4m5s]"},
			{"no other aggregator", func() { js.aggregator("10.0.0.9", false) }, "[5m30s 6m0s]"}, // heals
		} {
			step.do()
			time.Sleep(time.Minute)
			if got := js.seconds(); got != step.want {
				t.Errorf("%s: joins at %s, want %s", step.what, got, step.want)
			}
		}
	})
}

func TestSplitTarget(t *testing.T) {
	tests := map[string]struct {
		host string
		port uint16
	}{
		"10.0.0.1":                  {"10.0.0.1", 7946},
		"10.0.0.1:1":                {"10.0.0.1", 1},
		"fd00::1":                   {"fd00::1", 7946},
		"[fd00::1]:65535":           {"fd00::1", 65535},
		"rollcall-gossip":           {"rollcall-gossip", 7946},
		"rollcall-gossip.ns.svc.:1": {"rollcall-gossip.ns.svc.", 1},
		"":                          {},
		":1":                        {},
		"host:":                     {},
		"host:0":                    {},
		"host:65536":                {},
		"host:http":                 {},
		"name/host":                 {},
		"http://host":               {},
		"10.0.0.1:1:1":              {},
	}
	for target, want := range tests {
		t.Run(target, func(t *testing.T) {
			host, port, err := splitTarget(target, 7946)
			if host != want.host || port != want.port || (err == nil) != (want.host != "") {
				t.Errorf("got %q, %d, %v", host, port, err)
			}
		})
	}
}
