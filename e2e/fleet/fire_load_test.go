package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// fireClients is how many ask for everything at once.
	fireClients = 200
	// fireQuestion is what they ask: 1 MB as JSON of 200 nodes, 10 KB of each node.
	fireQuestion = "/api/v1/pod?window=1m&timeout=4s"
	// fireHeap bounds the memory that they may take, in bytes a node: what waits
	// takes none, and four are answered at once.
	fireHeap = 256 << 10
)

// Two hundred ask for all pods of all nodes at once, again and again. Some are
// answered, the others are told to come back later; who wants little is
// answered meanwhile, and the memory is bounded.
func fireOverload(t *testing.T, f *fire) {
	a := f.aggregators[0]
	f.slow(t, "slow:400ms")
	before, err := f.memory(a, true)
	if err != nil {
		t.Fatal(err)
	}
	watched := make(chan struct{})
	var worst atomic.Uint64
	var watch sync.WaitGroup
	watch.Go(func() {
		look := time.NewTicker(50 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-watched:
				return
			case <-look.C:
				now, err := f.memory(a, false)
				if err != nil {
					t.Error(err)
					return
				}
				worst.Store(max(worst.Load(), now))
			}
		}
	})

	var stop atomic.Bool
	var answered, refused atomic.Int64
	var clients sync.WaitGroup
	for range fireClients {
		clients.Go(func() {
			for !stop.Load() {
				status, err := f.flood(a)
				switch {
				case err != nil:
					t.Error(err)
					return
				case status == http.StatusOK:
					answered.Add(1)
				default:
					refused.Add(1)
				}
			}
		})
	}
	end := sync.OnceFunc(func() { stop.Store(true); clients.Wait(); close(watched); watch.Wait() })
	defer end()
	most := 0
	f.until(t, "some are refused, some answered", func() error {
		s, err := f.fanout(a)
		if err != nil {
			return err
		}
		if most = max(most, s.Full); most > 4 || s.HeldBytes > s.ProcessBudget {
			t.Errorf("too much at once: %+v", s)
		}
		if answered.Load() == 0 || refused.Load() == 0 {
			return fmt.Errorf("%d answered, %d refused, %+v", answered.Load(), refused.Load(), s)
		}
		return nil
	})
	nodes := f.virtual.Nodes()
	node := nodes[len(nodes)/2]
	f.until(t, "one node is answered", func() error {
		r := f.ask(t, a, "/api/v1/node/"+node+"?"+f.window())
		if len(r.Nodes) == 0 || !r.Coverage.Complete {
			return fmt.Errorf("%+v", r.Coverage)
		}
		if !f.compare(t, node, r.Nodes[0].Metrics, f.ledger.nodes[node]) {
			t.Errorf("%s: %d points", node, len(r.Nodes[0].Metrics))
		}
		return nil
	})
	f.until(t, "one pod is answered", func() error { return f.checkPod(t, a, f.ledger.aContainer(node)) })
	_ = f.checkLatest(t, a, nil) // on a busy machine some may be stale
	end()
	if most := uint64(apartMemory) << 20 * 10 / 9; f.processes != nil && worst.Load() > most {
		t.Errorf("%d MiB: its container, with %d MiB, would have ended it", worst.Load()>>20, most>>20)
	}
	grown := int64(worst.Load()) - int64(before)
	t.Logf("%d answered, %d refused, at most %d at once; its memory grew by at most %d MiB to %d", answered.Load(), refused.Load(), most, grown>>20, worst.Load()>>20)
	if grown > int64(f.cfg.VirtualNodes)*fireHeap {
		t.Errorf("its memory grew by %d MiB", grown>>20)
	}
	f.set(t, nodes, "none")
	f.mend(nodes)
	f.until(t, "nothing is held", func() error { return f.quiet(a) })
}

// slow makes a question to a small fleet take as long as one to a large fleet
// takes anyway.
func (f *fire) slow(t *testing.T, fault string) {
	t.Helper()
	if f.cfg.VirtualNodes < largeFrom {
		f.set(t, f.virtual.Nodes(), fault)
	}
}

// restart starts an aggregator again, which may be stopped, and waits until it
// is connected.
func (f *fire) restart(t *testing.T, a *aggregator) {
	t.Helper()
	if err := errors.Join(a.stop(false), a.start(f.ctx)); err != nil {
		t.Fatal(err)
	}
	f.until(t, "a new aggregator answers in full", func() error { return complete(f.ctx, a.url()) })
}

// liveHeap is what the last collection left, in bytes; collect makes one.
func liveHeap(collect bool) uint64 {
	if collect {
		runtime.GC()
	}
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// flood asks for everything, and takes no more of the answer than its end. It
// has to be whole, or a refusal that says when to come back.
func (f *fire) flood(a *aggregator) (status int, err error) {
	resp, err := f.web.Get(a.url() + fireQuestion)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var end tail
	if _, err := io.Copy(&end, resp.Body); err != nil {
		return resp.StatusCode, fmt.Errorf("status %d, and then: %w", resp.StatusCode, err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if b := bytes.TrimSpace(end.b); !bytes.HasSuffix(b, []byte("}")) {
			return resp.StatusCode, fmt.Errorf("it ends with %q", b)
		}
		return resp.StatusCode, nil
	case http.StatusTooManyRequests:
		var said answer
		err := json.Unmarshal(end.b, &said)
		if after, bad := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || bad != nil || after < 1 || said.Error.Code != "too_many_requests" || said.Error.Message == "" {
			return resp.StatusCode, fmt.Errorf("refused with %q, Retry-After %q", end.b, resp.Header.Get("Retry-After"))
		}
		return resp.StatusCode, nil
	}
	return resp.StatusCode, fmt.Errorf("status %d: %s", resp.StatusCode, end.b)
}

// tail keeps the end of what is written.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 1 << 10
	t.b = append(t.b, p[max(0, len(p)-most):]...)
	t.b = t.b[max(0, len(t.b)-most):]
	return len(p), nil
}

// quiet tells what an aggregator is still busy with.
func (f *fire) quiet(a *aggregator) error {
	s, err := f.fanout(a)
	if err == nil && (s.InFlight != 0 || s.Full != 0 || s.Waiting != 0 || s.HeldBytes != 0) {
		err = fmt.Errorf("%+v", s)
	}
	return err
}

// working are the goroutines of all processes that answer questions: a function
// of each.
func (f *fire) working() (found []string, err error) {
	all := ownStacks()
	for a := range f.processes {
		its, err := f.stacks(a)
		if err != nil {
			return nil, err
		}
		all += "\n\n" + its
	}
	for stack := range strings.SplitSeq(all, "\n\n") {
		for _, at := range []string{"/pkg/apiv1.(", "/aggregator/fanout.(", "/aggregator/snapshot.(", "/agents.(*Client).ask", "/virtual.(*agent).ServeHTTP"} {
			if _, line, ok := strings.Cut(stack, at); ok {
				line, _, _ = strings.Cut(line, "\n")
				found = append(found, at+line)
				break
			}
		}
	}
	return found, nil
}

// ownStacks are those of all goroutines here.
func ownStacks() string {
	for stacks := make([]byte, 1<<20); ; stacks = make([]byte, 2*len(stacks)) {
		if n := runtime.Stack(stacks, true); n < len(stacks) {
			return string(stacks[:n])
		}
	}
}

// idle tells which goroutines still answer questions.
func (f *fire) idle() error {
	w, err := f.working()
	if len(w) > 0 {
		err = errors.New(strconv.Itoa(len(w)) + " goroutines, such as " + w[0])
	}
	return err
}
