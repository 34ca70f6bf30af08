package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
)

const (
	// fireNodes is how many virtual nodes are under fire, unless ROLLCALL_NODES
	// says otherwise.
	fireNodes = 200
	// fireNodeTimeout is how long one node may take: below the three seconds of a
	// slow one, and enough for a good one with the race detector on a busy machine.
	fireNodeTimeout = 2 * time.Second
	// fireTimeout is that of questions: ten times what they take here.
	fireTimeout = 30 * time.Second
)

// A fire is a fleet of virtual nodes with two real aggregators, or one if two
// would need too many sockets, to which bad things happen.
type fire struct {
	*Fleet
	ctx    context.Context // of the fleet: what is started lives as long
	web    *http.Client
	ledger *ledger
	// processes are those of aggregators that are not in this one; see apart.
	processes map[*aggregator]*child.Process
	// mending are nodes that were bad: nobody may have tried them again yet.
	mending map[string]bool
	// patience only ends a test that has failed.
	patience time.Duration
}

// Whatever happens to some of the nodes, to the aggregators and to those who
// ask: what is shown is what was measured, who is missing is named with the
// reason, and once it is over all is as before.
func TestUnderFire(t *testing.T) {
	f := startFire(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *fire)
	}{
		{"bad answers", fireBadAnswers},
		{"many restart at once", fireRestarts},
		{"a zone disappears", fireZone},
		{"too many questions", fireOverload},
		{"clients go away", fireDisconnects},
		{"two aggregators", fireTwins},
		{"an aggregator is told to stop", fireStop},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, f)
			f.until(t, "all is there", func() error { return f.whole(t, f.aggregators[0]) })
			f.until(t, "all is there for the other aggregator", func() error {
				return errors.Join(f.checkNodes(t, f.other(), nil), f.checkLatest(t, f.other(), nil))
			})
			f.mending = nil
		})
		if t.Failed() { // and what it left behind would fail the others
			return
		}
	}
}

func startFire(t *testing.T) *fire {
	nodes, patience := fireNodes, 2*time.Minute
	if s := os.Getenv("ROLLCALL_NODES"); s != "" {
		var err error
		if nodes, err = strconv.Atoi(s); err != nil || nodes < fireNodes {
			t.Fatalf("ROLLCALL_NODES: %q is not a number from %d", s, fireNodes)
		}
		patience = 10 * time.Minute // gossip of thousands takes its time
	}
	cfg := virtualConfig(58, nodes, 2)
	if nodes < largeFrom {
		cfg.Resolution = 5 * time.Second // newest values are asked for once a slot
		cfg.Pods = 8                     // the race detector makes all of it ten times as slow
	}
	fitFiles(t, &cfg)
	cfg.Data = t.TempDir()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := cfg.raiseFiles(); err != nil {
		t.Fatal(err)
	}
	fleet, err := NewFleet(cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range fleet.aggregators {
		a.cfg.Fanout.NodeTimeout = fireNodeTimeout
		if nodes < largeFrom {
			a.cfg.Fanout.InFlight = 64 // so that a question takes several rounds, too
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &fire{
		Fleet: fleet, ctx: ctx, patience: patience,
		web: &http.Client{Timeout: 4 * fireTimeout, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	if nodes >= largeFrom {
		f.apart(t)
	}
	t.Cleanup(func() {
		cancel()
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := fleet.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := fleet.awaitComplete(ctx); err != nil {
		t.Fatal(err)
	}
	from := (time.Now().Unix()/f.step() - 4) * f.step()
	if f.ledger, err = f.openLedger(from, from+2*f.step()-1); err != nil {
		t.Fatal(err)
	}
	return f
}

// fitFiles takes one aggregator less, and then fewer nodes, if the machine does
// not allow as many open files: under fire an aggregator has two connections to
// each agent, and both ends are here, unless it is a process of its own.
func fitFiles(t *testing.T, cfg *Config) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	ends := 2
	if cfg.VirtualNodes >= largeFrom {
		ends = 1
	}
	need := func(aggregators int) int { return cfg.VirtualNodes*(1+2*ends*aggregators) + otherFiles }
	for want := need(cfg.Aggregators); uint64(need(cfg.Aggregators)) > limit.Max; {
		if cfg.Aggregators > 1 {
			cfg.Aggregators--
		} else {
			cfg.VirtualNodes = (int(limit.Max) - otherFiles) / (1 + 2*ends)
		}
		t.Logf("ulimit -Hn is %d, not %d: %d nodes, %d aggregators", limit.Max, want, cfg.VirtualNodes, cfg.Aggregators)
	}
}

// other is an aggregator besides the first, if there is one.
func (f *fire) other() *aggregator { return f.aggregators[len(f.aggregators)-1] }

// until tries until there is no error, which is soon: what failed is tried again
// after 30 s at the latest.
func (f *fire) until(t *testing.T, what string, try func() error) {
	t.Helper()
	began := time.Now()
	pause := time.NewTicker(300 * time.Millisecond)
	defer pause.Stop()
	for tries := 1; ; tries++ {
		err := try()
		switch {
		case t.Failed():
			t.FailNow()
		case err == nil:
			t.Logf("%s: after %v, %d tries", what, time.Since(began).Round(10*time.Millisecond), tries)
			return
		case time.Since(began) > f.patience:
			t.Fatalf("never, in %d tries: %s: %v", tries, what, err)
		}
		<-pause.C
	}
}

// set makes nodes fail in one way, or none.
func (f *fire) set(t *testing.T, nodes []string, fault string) {
	t.Helper()
	parsed, err := virtual.ParseFault(fault)
	if err == nil {
		err = f.virtual.SetFault(nodes, parsed)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// order has something done to nodes.
func (f *fire) order(t *testing.T, nodes []string, action string) {
	t.Helper()
	if err := f.virtual.Order(f.ctx, nodes, action); err != nil {
		t.Fatal(err)
	}
}

// fireAnswer is an answer of /api/v1 with its envelope.
type fireAnswer struct {
	answer
	status int
	header http.Header
	took   time.Duration
}

// get asks an aggregator for a path with a query, and the columns of the ledger.
func (f *fire) get(a *aggregator, path string) (fireAnswer, error) {
	url := fmt.Sprintf("%s%s&%s&timeout=%v", a.url(), path, ledgerMetrics, fireTimeout)
	began := time.Now()
	resp, err := f.web.Get(url)
	if err != nil {
		return fireAnswer{}, err
	}
	defer resp.Body.Close()
	r := fireAnswer{status: resp.StatusCode, header: resp.Header}
	err = json.NewDecoder(resp.Body).Decode(&r.answer)
	r.took = time.Since(began)
	if err != nil {
		return r, fmt.Errorf("%s: status %d: %w", url, resp.StatusCode, err)
	}
	return r, nil
}

// ask is get of what has to be answered, in time.
func (f *fire) ask(t *testing.T, a *aggregator, path string) fireAnswer {
	t.Helper()
	r, err := f.get(a, path)
	if err != nil {
		t.Fatal(err)
	}
	if r.status != http.StatusOK {
		t.Fatalf("%s: status %d, %+v", path, r.status, r.Error)
	}
	if r.took > fireTimeout {
		t.Errorf("%s: answered after %v", path, r.took)
	}
	return r
}

// fanoutStatus is what tests read of /debug/fanout.
type fanoutStatus struct {
	InFlight, Full, Waiting  int
	HeldBytes, ProcessBudget int64
	Answers                  map[string]int
}

// fanout is how an aggregator's questions to nodes are going.
func (f *fire) fanout(a *aggregator) (s fanoutStatus, err error) {
	resp, err := f.web.Get("http://" + a.cfg.DebugListen + "/debug/fanout")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}
