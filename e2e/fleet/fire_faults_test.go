package main

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"
)

// badAnswers are the ways in which agents answer badly, and the outcomes that fit.
// None is for those whose data is right, however they send it. On a busy
// machine any node may come too late.
var badAnswers = []struct {
	fault    string
	outcomes []string
}{
	{"blackhole", []string{"timeout"}},
	{"slow:3s", []string{"timeout"}},
	{"trickle", []string{"timeout", "ok"}}, // which is enough for little,
	{"endless", []string{"over_budget", "timeout"}},
	{"garbage", []string{"truncated", "timeout"}},
	{"wrongnode", []string{"unauthorized", "timeout"}},
	{"version", []string{"version_skew", "timeout"}},
	{"type", []string{"version_skew", "timeout"}},
	{"shift:5h", []string{"truncated", "timeout"}},
	{"shift:-5h", []string{"truncated", "timeout"}},
	{"duplicate", nil},
	{"size:10", nil},
}

// Nodes that answer slowly, too much, lies or nothing, all at once, cost their
// own data and nothing else; when they are well again, so is everything.
func fireBadAnswers(t *testing.T, f *fire) {
	a, nodes := f.aggregators[0], f.virtual.Nodes()
	f.until(t, "all is there before", func() error { return f.whole(t, a) })
	out := bad{}
	var sized, all []string
	each := max(1, len(nodes)/100)
	apart := len(nodes) / (each * len(badAnswers))
	for i, b := range badAnswers {
		var some []string
		for j := range each {
			node := nodes[(j*len(badAnswers)+i)*apart]
			some = append(some, node)
			if b.outcomes != nil {
				out[node] = b.outcomes
			}
		}
		f.set(t, some, b.fault)
		all = append(all, some...)
		if b.fault == "size:10" {
			sized = some
		}
	}
	f.ledger.watched = append(f.ledger.watched, all[:min(len(all), maxWatched)]...)
	f.until(t, fmt.Sprintf("all is there but %d nodes", len(out)), func() error { return f.check(t, a, out, sized) })

	// Asked for by name, each tells how it fails.
	var g errgroup.Group
	for i, b := range badAnswers {
		g.Go(func() error {
			key := f.ledger.aContainer(nodes[i*apart])
			r, err := f.get(a, "/api/v1/pod/"+key+"?"+f.window())
			if err != nil {
				return err
			}
			o := r.Coverage.outcome(nodes[i*apart])
			if len(r.Pods) > 0 {
				o = "ok"
			}
			fits := slices.Contains(b.outcomes, o) || (b.outcomes == nil && o == "ok")
			if r.status != 200 || r.Coverage.Expected != 1 || r.Coverage.Complete != (o == "ok") || !fits {
				return fmt.Errorf("%s of a node with %s: status %d, %+v", key, b.fault, r.status, r.answer)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	f.set(t, all, "none")
	f.mend(all)
}

// A tenth of the nodes restarts at once, half of them gracefully at the same
// address, half as after a crash at another one, while someone asks.
func fireRestarts(t *testing.T, f *fire) {
	nodes := f.virtual.Nodes()
	tenth := len(nodes) / 10
	gracefully, crashed := nodes[3:3+tenth/2], nodes[len(nodes)/2:len(nodes)/2+tenth-tenth/2]
	out := bad{}
	for _, node := range slices.Concat(gracefully, crashed) {
		out[node] = []string{"refused", "truncated", "timeout", "dead", "not_in_roster", "ok"}
	}
	addr := f.address(t, crashed[0])
	var g errgroup.Group
	g.Go(func() error { return f.virtual.Order(f.ctx, gracefully, "restart") })
	g.Go(func() error { return f.virtual.Order(f.ctx, crashed, "reboot") })
	restarted := make(chan error, 1)
	go func() { restarted <- g.Wait() }()
	for done := false; !done; {
		select {
		case err := <-restarted:
			if err != nil {
				t.Error(err)
			}
			done = true
		default:
		}
		// Who is there, and who is not yet, does not matter.
		_ = f.checkNodes(t, f.aggregators[0], out)
		_ = f.checkLatest(t, f.other(), out)
	}
	if f.address(t, crashed[0]) == addr {
		t.Errorf("%s has not moved", crashed[0])
	}
	f.mend(slices.Concat(gracefully, crashed))
}

// address is where a node's agent is.
func (f *fire) address(t *testing.T, node string) string {
	t.Helper()
	s, err := f.virtual.Status(node)
	if err != nil {
		t.Fatal(err)
	}
	return s.Address
}

// Four of ten nodes are cut off at once, and come back.
func fireZone(t *testing.T, f *fire) {
	nodes := f.virtual.Nodes()
	zone := nodes[len(nodes)/5 : len(nodes)/5+len(nodes)*2/5]
	out := bad{}
	for _, node := range zone {
		out[node] = []string{"timeout", "dead"}
	}
	f.order(t, zone, "vanish")
	a := f.aggregators[0]
	f.until(t, fmt.Sprintf("all is there but the %d nodes of a zone", len(zone)), func() error { return f.check(t, a, out, nil) })
	for _, node := range zone {
		out[node] = []string{"dead"}
	}
	f.until(t, "gossip has noticed", func() error { return f.checkNodes(t, a, out) })
	f.order(t, zone, "return")
	f.mend(zone)
}

// mend says of nodes that were bad that they are not any more. It may be that
// nobody has tried them again yet.
func (f *fire) mend(nodes []string) {
	f.mending = map[string]bool{}
	for _, node := range nodes {
		f.mending[node] = true
	}
}
