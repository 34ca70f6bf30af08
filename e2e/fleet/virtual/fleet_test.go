package virtual

import (
	"context"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// 200 agents answer aggregators, each as its own node, and nobody else.
func TestServe(t *testing.T) {
	f := startFleet(t, 10, 200, 15*time.Second)
	now := time.Now().Unix()
	for node := range 200 {
		a := f.client(t, node).must(chunksPath(model.Query{From: now - 900, To: now}))
		if a.node != nodeName(node) || len(a.slots) < 59 || len(a.slots) > 61 {
			t.Fatalf("node %d answers as %s, with %d slots", node, a.node, len(a.slots))
		}
	}
	c := f.client(t, 7)
	if a := c.must(latestPath(math.MaxInt32)); len(a.chunks) != 31 || len(a.slots) != 1 {
		t.Errorf("the newest are %d chunks of %d slots", len(a.chunks), len(a.slots))
	}
	day := c.must(chunksPath(model.Query{Pods: true, Namespace: "kube-system", From: 0, To: math.MaxInt32}))
	if len(day.slots) < 24*240 {
		t.Errorf("a day has %d slots", len(day.slots))
	}
	if a := c.must(chunksPath(model.Query{Pods: true, Namespace: "kube-system", Pod: "x", From: 0, To: now})); len(a.chunks) != 0 || a.known {
		t.Errorf("a pod that is nowhere: %+v", a)
	}

	if _, err := f.clientAt(t, 8, f.agents[9].addr, f.aggregator).ask(t.Context(), latestPath(now)); !identity.Unauthorized(err) {
		t.Errorf("node 9 passes for node 8: %v", err)
	}
	// The reset of a refused connection may come before the reason is read.
	if a, err := f.clientAt(t, 8, f.agents[8].addr, f.cfg.Identity).ask(t.Context(), latestPath(now)); err == nil {
		t.Errorf("an agent is let in: %+v", a)
	}
	s, err := f.Status("node-8")
	if err != nil || s.Agent != "running" || s.Fault != "none" || s.Connections == 0 {
		t.Errorf("status %+v, %v", s, err)
	}
	if _, err := f.Status("node-201"); err == nil {
		t.Error("there is a node-201")
	}
}

// Each fault does what its name says, and ends.
func TestFaults(t *testing.T) {
	f := startFleet(t, 20, 3, 15*time.Second)
	now := time.Now().Unix() - 60 // nothing is added to what was before
	pods := chunksPath(model.Query{Pods: true, From: now - 600, To: now})
	steps := chunksPath(model.Query{Pods: true, From: now - 600, To: now, Step: 60, Agg: model.Mean})
	latest := latestPath(math.MaxInt32)
	// The node of the fault is node-2; healthy is what it says without.
	cases := map[string]func(t *testing.T, c *client, healthy answered){
		"slow:200ms": func(t *testing.T, c *client, _ answered) {
			began := time.Now()
			if a := c.must(pods); len(a.chunks) == 0 || time.Since(began) < 200*time.Millisecond {
				t.Errorf("%d chunks after %v", len(a.chunks), time.Since(began))
			}
		},
		"trickle": func(t *testing.T, c *client, _ answered) {
			began := time.Now()
			resp, err := c.get(t.Context(), pods)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			// The header's frame: the first byte is its length.
			var b [12]byte
			if _, err := io.ReadFull(resp.Body, b[:]); err != nil || time.Since(began) < 9*trickleEvery {
				t.Errorf("12 bytes after %v, %v", time.Since(began), err)
			}
		},
		"endless": func(t *testing.T, c *client, _ answered) {
			resp, err := c.get(t.Context(), pods)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			r, err := wire.NewReader(resp.Body, -1)
			for n := 0; n < 8<<20 && err == nil; {
				var item wire.Item
				item, err = r.Next()
				n += len(item.Chunk)
			}
			if err != nil {
				t.Errorf("it ends, with %v", err)
			}
		},
		"garbage": func(t *testing.T, c *client, _ answered) {
			if _, err := c.ask(t.Context(), pods); !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, wire.ErrTruncated) {
				t.Errorf("got %v", err)
			}
		},
		"wrongnode": func(t *testing.T, c *client, _ answered) {
			if a := c.must(pods); a.node != "node-3" || len(a.chunks) == 0 {
				t.Errorf("it answers as %s", a.node)
			}
		},
		"version": func(t *testing.T, c *client, _ answered) {
			if _, err := c.ask(t.Context(), pods); err == nil || err.Error() != "status 404" {
				t.Errorf("got %v", err)
			}
		},
		"type": func(t *testing.T, c *client, _ answered) {
			if _, err := c.ask(t.Context(), pods); err == nil || err.Error() != "an answer of type text/html" {
				t.Errorf("got %v", err)
			}
		},
		"duplicate": func(t *testing.T, c *client, healthy answered) {
			if a := c.must(pods); len(a.chunks) != 2*len(healthy.chunks) || a.chunks[0].Header != a.chunks[1].Header {
				t.Errorf("%d chunks of %d", len(a.chunks), len(healthy.chunks))
			}
		},
		"shift:-5h0m0s": func(t *testing.T, c *client, healthy answered) {
			a := c.must(pods)
			for i := range a.chunks {
				if a.chunks[i].Block != healthy.chunks[i].Block-5*3600 || a.chunks[i].Pod != healthy.chunks[i].Pod {
					t.Fatalf("%+v, not five hours from %+v", a.chunks[i].Header, healthy.chunks[i].Header)
				}
			}
			for slot := range c.must(latest).slots {
				if slot > now-4*3600 {
					t.Errorf("newest slot %d", slot)
				}
			}
		},
		"size:10": func(t *testing.T, c *client, healthy answered) {
			names := map[model.PodRef]bool{}
			a := c.must(pods)
			for i := range a.chunks {
				names[a.chunks[i].Pod] = true
			}
			if len(a.chunks) != 10*len(healthy.chunks) || len(names) < 300 || a.bytes < 10*healthy.bytes {
				t.Errorf("%d chunks of %d pods, %d bytes", len(a.chunks), len(names), a.bytes)
			}
			// Steps, too: those of a mean come in two parts.
			resp, err := c.get(t.Context(), steps)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			r, err := wire.NewReader(resp.Body, -1)
			binned := 0
			for err == nil {
				var item wire.Item
				if item, err = r.Next(); item.Values != nil && item.Weights != nil {
					binned++
				}
			}
			if !errors.Is(err, io.EOF) || binned != len(a.chunks) {
				t.Errorf("%d of %d binned, %v", binned, len(a.chunks), err)
			}
		},
		"blackhole": func(t *testing.T, c *client, _ answered) {
			// The connection that was there, and a new one.
			for _, c := range []*client{c, f.client(t, 1)} {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				if _, err := c.ask(ctx, pods); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				cancel()
			}
		},
	}
	for name, check := range cases {
		t.Run(name, func(t *testing.T) {
			c := f.client(t, 1)
			healthy := c.must(pods)
			fault, err := ParseFault(name)
			if err != nil || fault.String() != name {
				t.Fatalf("fault %v, %v", fault, err)
			}
			if err := f.SetFault([]string{"node-2"}, fault); err != nil {
				t.Fatal(err)
			}
			if s, _ := f.Status("node-2"); s.Fault != name {
				t.Errorf("status %+v", s)
			}
			check(t, c, healthy)
			if a := f.client(t, 0).must(latest); a.node != "node-1" {
				t.Errorf("the node beside it answers as %s", a.node)
			}
			if err := f.SetFault([]string{"node-2"}, Fault{Kind: None}); err != nil {
				t.Fatal(err)
			}
			if a := f.client(t, 1).must(pods); a.node != "node-2" || len(a.chunks) != len(healthy.chunks) {
				t.Errorf("afterwards %s has %d chunks of %d", a.node, len(a.chunks), len(healthy.chunks))
			}
		})
	}
}

func TestParseFaultRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "nothing", "slow", "slow:-1s", "slow:x", "none:1", "shift", "shift:0s", "shift:1m", "size", "size:1", "size:x", "kill"} {
		if f, err := ParseFault(s); err == nil {
			t.Errorf("%q is %v", s, f)
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	f := &Fleet{names: map[string]*agent{}}
	for i := range 9 {
		f.agents = append(f.agents, &agent{node: i, name: nodeName(i)})
		f.names[nodeName(i)] = f.agents[i]
	}
	for s, want := range map[string]int{"node-1": 1, "node-2..node-4": 3, "node-1,node-9..node-9": 2, "all": 9} {
		if got, err := f.Select(s); err != nil || len(got) != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "node-0", "node-4..node-2", "node-1..node-10", "node-1..", "node-1,"} {
		if got, err := f.Select(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}
